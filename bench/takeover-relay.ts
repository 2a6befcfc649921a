import { createWaybill, defineChannel, defineConfig } from '../src/index.ts'
import { postgresStore } from '../src/postgres.ts'
import { noOpTransport } from './no-op-transport.ts'

const config = defineConfig({
  store: postgresStore({ connectionString: process.env['BENCH_DATABASE']! }),
  transports: { none: noOpTransport() },
  channels: [defineChannel({ name: 'orders.placed', ordered: false })],
  logLevel: 'error',
})
await createWaybill(config, {}).run()
