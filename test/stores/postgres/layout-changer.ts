import { postgresStore } from '../../../src/postgres.ts'
import { silentLogger } from '../../../src/kernel/logger.ts'

/** Changes a transport's number of partitions, in a process that can be killed in the middle of it. */
const [url, transport, partitions] = process.argv.slice(2) as [string, string, string]
const store = postgresStore({ connectionString: url }).open({
  logger: silentLogger,
  applicationName: 'changer',
  statementTimeoutMs: 10_000,
  lockTimeoutMs: 5000,
  leaseMs: 10_000,
})
const { signal } = new AbortController()
await store.layouts.change(transport, Number(partitions), { signal, onWait() {} })
await store.close()
