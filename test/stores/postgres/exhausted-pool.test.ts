import pg from 'pg'
import { expect, onTestFinished, test } from 'vitest'
import { postgresDatabase } from '../../setup/servers.ts'
import { openStore } from './support.ts'

const { url } = await postgresDatabase()

/** Begins a transaction of a store that has this pool. */
function begin(pool: pg.Pool, changes: { readonly statementTimeoutMs?: number } = {}): Promise<void> {
  const store = openStore({ pool }, changes)
  return store.transactions.run({ idleTimeoutMs: 20_000 }, () => Promise.resolve())
}

/** A pool whose only client somebody else has. */
async function exhausted(options: pg.PoolConfig): Promise<pg.Pool> {
  const pool = new pg.Pool({ connectionString: url, max: 1, ...options })
  const held = await pool.connect()
  onTestFinished(async () => {
    held.release()
    await pool.end()
  })
  return pool
}

test.for([{ pipeline: true }, { pipeline: false }])(
  'an exhausted pool is told as one, and that the transaction may be run again: %o',
  async (options) => {
    const begun = begin(await exhausted(options), { statementTimeoutMs: 50 })
    await expect(begun).rejects.toMatchObject({
      code: 'WB_TIMED_OUT',
      message: expect.stringMatching(/no connection of the pool was free within 50 ms\..*larger `pool`/u),
      retryable: 'yes',
    })
  },
)

test('it is where the pool was made to wait for less, too, and not a server that cannot be reached', async () => {
  const pool = await exhausted({ connectionTimeoutMillis: 20 })
  await expect(begin(pool)).rejects.toMatchObject({
    code: 'WB_TIMED_OUT',
    message: expect.stringMatching(/was free within the pool's connectionTimeoutMillis\. .*larger `pool`/u),
    retryable: 'yes',
  })
})

test('a server that nobody can reach is told as that', async () => {
  const connectionString = 'postgres://nobody@127.0.0.1:1/none'
  const pool = new pg.Pool({ connectionString, max: 1, connectionTimeoutMillis: 5000 })
  onTestFinished(() => pool.end())
  await expect(begin(pool)).rejects.toMatchObject({
    code: 'WB_STORE_UNREACHABLE',
    message: expect.stringContaining('ECONNREFUSED'),
  })
})
