import type pg from 'pg'
import { payloadSql, settle } from '../fill.ts'

/** The outbox of a team that writes it itself: one table, one number, no partitions. */
export async function fillFlat(pool: pg.Pool, messages: number): Promise<void> {
  await pool.query(
    `create table if not exists flat(seq bigint generated always as identity primary key, id uuid not null,
       channel text not null, key text, payload bytea not null, content_type text not null, headers jsonb not null,
       created_at timestamptz not null default clock_timestamp())`,
  )
  await pool.query('truncate flat')
  await pool.query(
    `insert into flat(id, channel, key, payload, content_type, headers)
     select gen_random_uuid(), 'orders.placed', (g % 10000)::text, ${payloadSql}, 'application/json', '{}'
     from generate_series(1, $1::int) g`,
    [messages],
  )
  await settle(pool, 'flat')
}

/** The lowest rows nobody else has, by the primary key. */
export const deleteText = (batch: number): string =>
  `delete from flat where ctid = any(array(select ctid from flat order by seq limit ${batch} for update skip locked)) ` +
  'returning seq, id, channel, key, payload, content_type, headers, created_at'
