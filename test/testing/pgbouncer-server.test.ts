import { Client } from 'pg'
import { expect, it } from 'vitest'
import { startPgbouncer } from '../../src/testing.ts'
import { describeWithPgbouncer, postgresDatabase } from '../setup/servers.ts'

async function withClient<T>(url: string, work: (client: Client) => Promise<T>): Promise<T> {
  const client = new Client(url)
  await client.connect()
  try {
    return await work(client)
  } finally {
    await client.end()
  }
}

describeWithPgbouncer('a pgbouncer of one’s own', () => {
  it('gives a connection another session after each transaction, or keeps it, as it is told', async () => {
    const { url } = await postgresDatabase()
    const sessions = async (through: string): Promise<number> =>
      withClient(through, (first) =>
        withClient(through, async (second) => {
          const { rows: own } = await first.query('select pg_backend_pid() as pid')
          const { rows: others } = await second.query('select pg_backend_pid() as pid')
          return new Set([own[0].pid, others[0].pid]).size
        }),
      )
    await using shared = await startPgbouncer({ target: url, settings: { default_pool_size: '1' } })
    await using kept = await startPgbouncer({ target: url, mode: 'session' })
    expect([await sessions(shared.url), await sessions(kept.url)]).toEqual([1, 2])
    await shared.stop()
    await expect(withClient(shared.url, async () => {})).rejects.toThrow('ECONNREFUSED')
  })

  it('says why it did not start', async () => {
    const starting = startPgbouncer({
      target: 'postgres://me@127.0.0.1:1/x',
      settings: { pool_mode: 'swimming' },
    })
    await expect(starting).rejects.toMatchObject({
      code: 'WB_STORE_FAILED',
      message: expect.stringContaining('swimming'),
    })
  })
})
