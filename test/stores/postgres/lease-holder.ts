import { silentLogger } from '../../../src/kernel/logger.ts'
import { postgresStore } from '../../../src/postgres.ts'

/** A process of its own that joins a lane, claims what it gets, says so, and holds it until it is killed. */
const [connectionString, transport] = process.argv.slice(2)
const store = postgresStore({ connectionString: connectionString! }).open({
  logger: silentLogger,
  applicationName: 'holder',
  statementTimeoutMs: 20_000,
  lockTimeoutMs: 10_000,
  leaseMs: 3_600_000,
})
const session = await store.openLeases({ transport: transport!, consumer: '' })
const held = await session.claim(100)
process.stdout.write(`holds ${held.length}\n`)
