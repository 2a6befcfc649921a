import { expect, test } from 'vitest'
import type { Connection } from '../../../src/stores/postgres/connection.ts'
import { Connections } from '../../../src/stores/postgres/connections.ts'
import { purgeText } from '../../../src/stores/postgres/purge.ts'
import { postgresDatabase } from '../../setup/servers.ts'
import { blocks, fullPasses, type Node, prepare } from './explain.ts'
import { connect, context, openStore, openStreet } from './support.ts'

const day = 86_400_000

test.for(['while the tables were empty and analysed', 'before the tables were ever analysed'])(
  'a purge planned %s touches a batch only, of 200,000 inbox rows and as many that wait (P10, G1)',
  async (made) => {
    const { url } = await postgresDatabase()
    const store = openStore({ connectionString: url })
    await store.schema.migrate()
    const street = await openStreet(url, store)
    const client = await connect(url)
    await client.query(`alter table waybill.outbox set (autovacuum_enabled = off);
      alter table waybill.dead set (autovacuum_enabled = off);
      alter table waybill.blocked set (autovacuum_enabled = off);
      alter table waybill.attempts set (autovacuum_enabled = off);
      alter table waybill.inbox set (autovacuum_enabled = off)`)
    if (made.includes('empty')) await client.query('analyze')
    await client.query(
      `insert into waybill.outbox (partition, id, channel, key, payload, created_at)
       select $1::int + g % 4, gen_random_uuid(), $2, 'key-' || g, 'x',
         now() - case when g < 400 then interval '9 days' else interval '0' end from generate_series(1, 200000) g`,
      [street.first, street.channel],
    )
    await client.query(`
      insert into waybill.inbox select 'c', gen_random_uuid(), now() - g * interval '8 s' from generate_series(1, 200000) g;
      insert into waybill.attempts select consumer, message_id, 1, processed_at from waybill.inbox
        order by processed_at limit 20000;
      insert into waybill.blocked (consumer, partition, seq, id, channel, attempts, retry_at, error_code, error, first_error_code,
          first_error)
        select 'c', 1, row_number() over (), message_id, 'c', 1, now(), 'E', 'e', 'E', 'e'
        from waybill.inbox order by processed_at offset 3000 limit 20000;
      insert into waybill.dead (consumer, id, channel, payload, content_type, headers, created_at, attempts, reason,
          error_code, error)
        select 'c', message_id, 'c', 'x', 'a/b', '{}', now(), 1, 'rejected', 'E', 'e'
        from waybill.inbox order by processed_at offset 500 limit 20000`)
    const connections = new Connections({ connectionString: url }, context)
    try {
      // Both kinds: for these values, and for whichever.
      for (const mode of ['force_custom_plan', 'force_generic_plan']) {
        const connection = connections.open('cleanup', { settings: { plan_cache_mode: mode } })
        for (const [table, time] of [
          ['inbox', 'processed_at'],
          ['attempts', 'counted_at'],
        ] as const) {
          const purge = await prepare(connection, table, purgeText('"waybill"', table, time))
          expectBounded(await purge([7 * day, 1000]), `${mode} ${table}`)
        }
      }
      const { rows } = await client.query(
        `select count(*)::int as inbox, (select count(*)::int from waybill.attempts) as attempts from waybill.inbox`,
      )
      // Half of the first batch has a dead letter, and all of the second.
      expect(rows[0].inbox).toBe(200_000 - 500)
      expect(rows[0].attempts).toBeLessThanOrEqual(20_000)
      await expectEvenCost(connections.open('cleanup'))
    } finally {
      await connections.closeAll()
    }
  },
)

/** A look at each row of a table is 200,000 pages and more; 1,000 rows with all that is looked up for each are a few thousand. */
function expectBounded(plan: Node, name: string): void {
  expect(
    fullPasses(plan).filter((table) => table !== 'partitions'),
    name,
  ).toEqual([])
  expect(blocks(plan), name).toBeGreaterThan(100)
  expect(blocks(plan), name).toBeLessThan(30_000)
}

/** What earlier batches deleted is not walked over again by each later one, though no vacuum has come. */
async function expectEvenCost(connection: Connection): Promise<void> {
  const purge = await prepare(connection, 'again', purgeText('"waybill"', 'inbox', 'processed_at'))
  for (let batch = 0; batch < 40; batch++) await purge([7 * day, 1000])
  expectBounded(await purge([7 * day, 1000]), 'the last batch')
}
