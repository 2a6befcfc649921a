import { writeSync } from 'node:fs'
import { createWaybill, defineChannel, defineConfig } from '../../../src/index.ts'
import { localTransport } from '../../../src/local.ts'
import { type PgClient, postgresStore } from '../../../src/postgres.ts'

/** A whole service, as a user writes it: what it prints is what its parent waits for. */
const say = (line: string): void => {
  writeSync(1, `${line}\n`)
}

const orders = defineChannel<{ id: string }>({ name: 'orders.placed', guarantee: 'exactly-once' })
const waybill = createWaybill<PgClient>(
  defineConfig({
    store: postgresStore({ connectionString: process.env['SERVICE_DATABASE']! }),
    transports: { local: localTransport() },
    channels: [orders],
    leaseMs: 60_000,
    handlerTimeoutMs: 30_000,
    publishTimeoutMs: 30_000,
    stopTimeoutMs: 20_000,
    logLevel: 'info',
  }),
  {},
)
const released = Promise.withResolvers<void>()
process.once('SIGUSR2', () => {
  released.resolve()
})

waybill.consume(orders, { consumer: 'shipping' }, async ({ payload }, { tx }) => {
  await tx.query('insert into effects (id) values ($1)', [payload.id])
  say(`handling ${payload.id}`)
  await released.promise
})
// By itself: a process that nothing keeps alive any more has closed everything it opened.
await waybill.run()
say('ended')
