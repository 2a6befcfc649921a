import { createWaybill, defineChannel, defineConfig } from '../../../src/index.ts'
import { localTransport } from '../../../src/local.ts'
import { postgresStore } from '../../../src/postgres.ts'
import { until } from '../../../src/testing.ts'

/** Two messages from publish to handler, and a look, in a process whose flags the test chooses. */
const orders = defineChannel<{ n: number }>({ name: 'orders.placed' })
const handled: number[] = []

await using waybill = createWaybill(
  defineConfig({
    store: postgresStore({ connectionString: process.argv[2]! }),
    transports: { local: localTransport() },
    channels: [orders],
    logLevel: 'silent',
  }),
  {},
)
await waybill.migrate()
waybill.consume(orders, { consumer: 'shipping' }, ({ payload }) => {
  handled.push(payload.n)
})
await waybill.start()
await waybill.transaction(async (tx) => {
  for (const n of [1, 2]) await waybill.publish(tx, orders, { n }, { headers: { note: '__proto__' } })
})
await until('both are handled', () => handled.length === 2)
const { channels } = await waybill.inspect()
process.stdout.write(
  JSON.stringify({ handled: handled.sort(), channels: channels?.map(({ channel }) => channel) }),
)
