import { silentLogger } from '../../../src/kernel/logger.ts'
import { postgresStore } from '../../../src/postgres.ts'

/** A process that uses a store which may get no answers, says what became of it, and ends by itself when nothing is left open. */
const store = postgresStore({ connectionString: process.argv[2]! }).open({
  logger: silentLogger,
  applicationName: 'silent',
  statementTimeoutMs: 300,
  lockTimeoutMs: 200,
  leaseMs: 10_000,
})
const outbox = await store.openOutbox({ transport: 'transport', consumer: '' })
const calls = [
  () => outbox.remove([{ partition: 0, seq: 1n, id: '00000000-0000-7000-8000-000000000000' }]),
  () => store.schema.check(),
  () => outbox.remove([{ partition: 0, seq: 1n, id: '00000000-0000-7000-8000-000000000000' }]),
]
for (const call of calls) {
  const outcome = await call().then(
    () => 'ok',
    (error: { code?: string }) => error.code,
  )
  process.stdout.write(`${outcome}\n`)
}
await store.close()
