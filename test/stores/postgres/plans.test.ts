import { expect, test } from 'vitest'
import type pg from 'pg'
import { postgresDatabase } from '../../setup/servers.ts'
import { connect, openDesk, openStore, openStreet } from './support.ts'

/** Rows and pages touched by index and by sequential scans since the last call. */
async function touched(client: pg.Client): Promise<{ scanned: number; blocks: number }> {
  await client.query('select pg_stat_force_next_flush()')
  const { rows } = await client.query(
    `select sum(seq_tup_read)::float8 as scanned,
       (select sum(heap_blks_read + heap_blks_hit + idx_blks_read + idx_blks_hit)::float8
        from pg_statio_user_tables where schemaname = 'waybill') as blocks
     from pg_stat_user_tables where schemaname = 'waybill' and relname in ('outbox', 'blocked')`,
  )
  return rows[0]
}

test('a plan made while the tables were empty and analysed stays on the indexes with many rows (P10)', async () => {
  const { url } = await postgresDatabase()
  const store = openStore({ connectionString: url })
  await store.schema.migrate()
  const street = await openStreet(url, store)
  const client = await connect(url)
  await client.query(`alter table waybill.outbox set (autovacuum_enabled = off);
    alter table waybill.blocked set (autovacuum_enabled = off); analyze`)
  const { outbox, reader, epoch } = await openDesk(store, street)
  // Often enough for a generic plan, were the server left to choose.
  for (let i = 0; i < 8; i++) await reader.read()
  await client.query(
    `insert into waybill.outbox (partition, id, channel, key, payload)
     select $1::int + g % 4, gen_random_uuid(), $2, 'key-' || g, 'x' from generate_series(1, 200000) g`,
    [street.first, street.channel],
  )
  await client.query(
    `insert into waybill.blocked (partition, seq, id, channel, key, attempts, retry_at, error_code, error)
     select partition, seq, id, channel, key, 1, now() + interval '1 hour', 'E', 'e'
     from waybill.outbox order by seq limit 20000`,
  )
  await client.query(`update waybill.blocked set retry_at = now() where ctid in (select ctid from waybill.blocked limit 3)`)
  reader.floors.forEach((_, partition) => reader.floors.set(partition, 20_000n))
  const before = await touched(client)
  const rows = await reader.read({ upperLimit: 50 })
  expect(rows.filter((row) => row.origin === 'upper')).toHaveLength(200)
  expect(rows.filter((row) => row.origin === 'retry')).toHaveLength(3)
  const upper = rows.filter((row) => row.origin === 'upper')
  expect(await outbox.remove(upper.slice(0, 100))).toEqual({ removed: 100 })
  const [first] = rows.filter((row) => row.origin === 'retry')
  const line = { ...first!, epoch: epoch(first!.partition), attempts: 2, retryInMs: 1000, errorCode: 'E', error: 'e' }
  expect(await outbox.block([line])).toEqual(['written'])
  const after = await touched(client)
  expect(after.scanned - before.scanned).toBe(0)
  // 300 rows looked at with their lines: thousands of pages at most, where a pass over a table would be tens of thousands.
  expect(after.blocks - before.blocks).toBeLessThan(8000)
})
