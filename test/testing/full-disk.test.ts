import { Client } from 'pg'
import { describe, expect, it } from 'vitest'
import { CommitOutcomeUnknownError, createWaybill, defineChannel, defineConfig } from '../../src/index.ts'
import { localTransport } from '../../src/local.ts'
import { postgresStore } from '../../src/postgres.ts'
import { findSmallDisk, fullDiskFault, smallDisk, startPostgres, until } from '../../src/testing.ts'

const { isAllowed, hint } = findSmallDisk()
const describeWithDisk = isAllowed ? describe : describe.skip

const placed = defineChannel<{ n: number; text: string }>({
  name: 'orders.placed',
  key: ({ n }) => `${n % 7}`,
})

describeWithDisk(`a database on a full disk (F20)${isAllowed ? '' : ` (not here: ${hint})`}`, () => {
  it('refuses what it cannot keep, and nothing that it took is lost or doubled', async () => {
    using disk = await smallDisk(160)
    await using server = await startPostgres({
      parent: disk.folder,
      settings: { min_wal_size: '32MB', max_wal_size: '32MB', wal_recycle: 'off', autovacuum: 'off' },
    })
    const client = new Client({ connectionString: server.url })
    client.on('error', () => {})
    await client.connect()
    await client.query(`create table orders (n int primary key, text text not null);
      alter table orders alter column text set storage external;
      create table effects (n int not null)`)
    await using waybill = createWaybill(
      defineConfig({
        store: postgresStore({ connectionString: server.url }),
        transports: { local: localTransport() },
        channels: [placed],
        pollMaxMs: 20,
        logLevel: 'silent',
      }),
      {},
    )
    await waybill.migrate()
    waybill.consume(placed, { consumer: 'books' }, async ({ payload }, { tx }) => {
      await tx.query('insert into effects values ($1)', [payload.n])
    })
    await waybill.start()

    const outcomes = { done: new Set<number>(), refused: new Set<number>(), unknown: new Set<number>() }
    let n = 0
    const order = async (): Promise<void> => {
      const one = { n: (n += 1), text: 'x'.repeat(20_000) }
      try {
        await waybill.transaction(async (tx) => {
          await tx.query('insert into orders values ($1, $2)', [one.n, one.text])
          await waybill.publish(tx, placed, one)
        })
        outcomes.done.add(one.n)
      } catch (error) {
        outcomes[error instanceof CommitOutcomeUnknownError ? 'unknown' : 'refused'].add(one.n)
      }
    }
    for (let i = 0; i < 20; i++) await order()
    const active = await fullDiskFault('postgres', disk, server).inject()
    expect(active.hasStruck).toBe(true)
    // What is free inside the files of the tables is used up before anything is refused.
    while (outcomes.refused.size < 3 && n < 2000) await order()
    expect(outcomes.refused.size).toBeGreaterThanOrEqual(3)
    await active.heal()
    const before = outcomes.done.size
    await until('orders that go through again', async () => {
      await order()
      return outcomes.done.size >= before + 20
    })

    await client.end().catch(() => {})

    const after = new Client({ connectionString: server.url })
    await after.connect()
    const rows = async (table: string): Promise<number[]> => {
      const result = await after.query<{ n: number }>(`select n from ${table} order by n`)
      return result.rows.map((row) => row.n)
    }
    await until('the drain', async () => (await rows('(select 1 from waybill.outbox) o(n)')).length === 0)
    const kept = await rows('orders')
    expect(await rows('effects')).toEqual(kept)
    for (const one of outcomes.done) expect(kept).toContain(one)
    for (const one of outcomes.refused) expect(kept).not.toContain(one)
    await after.end()
  })
})
