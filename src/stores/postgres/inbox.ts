import type { Inbox, RefusedMessage } from '../../ports/inbox.ts'
import type { SqlRow } from '../../ports/sql.ts'
import type { Connection } from './connection.ts'

/** The inbox's statements. Those in the handlers' transaction run on its executor; the others on a connection of their own. */
export function createInbox(connection: Connection, s: string): Inbox {
  const admit = {
    name: `waybill_admit_${s}`,
    // Sorted, so that two batches with the same ids wait for each other in one direction only.
    text: `insert into ${s}.inbox (consumer, message_id) select distinct $1::text, i from unnest($2::uuid[]) i order by i
      on conflict do nothing returning message_id as id`,
  }
  const take = { name: `waybill_take_${s}`, text: takeText(s) }
  return {
    async admit(transaction, consumer, ids) {
      return idsOf(await transaction.execute(admit, [consumer, ids]))
    },
    async take(transaction, consumer, rows) {
      const values = [
        consumer,
        rows.map((row) => row.partition),
        rows.map((row) => row.seq.toString()),
        rows.map((row) => row.id),
        rows.map((row) => row.channel),
      ]
      return idsOf(await transaction.execute(take, values))
    },
    async countStart(consumer, id) {
      const text = `insert into ${s}.attempts as a (consumer, message_id, starts) values ($1, $2, 1)
        on conflict (consumer, message_id) do update set starts = a.starts + 1 returning starts`
      const result = await connection.query({ name: 'waybill_start', text, values: [consumer, id] }, 'count an attempt')
      return Number(result.rows[0].starts)
    },
    async bury(consumer: string, message: RefusedMessage) {
      const { envelope: e, attempts, reason, errorCode, error } = message
      const payload = Buffer.from(e.payload.buffer, e.payload.byteOffset, e.payload.byteLength)
      const values = [consumer, e.id, e.channel, e.key, payload, e.contentType, JSON.stringify(e.headers), e.createdAt]
      const query = { name: 'waybill_refuse', text: refuseText(s), values: [...values, attempts, reason, errorCode, error] }
      const result = await connection.query(query, `write message ${e.id} to the dead letters`)
      return Number(result.rows[0].written) === 1
    },
  }
}

function idsOf(rows: readonly SqlRow[]): ReadonlySet<string> {
  return new Set(rows.map((row) => String(row['id'])))
}

/**
 * Where the consumer is the only one on the channel the row is deleted; where it is not, it is noted in the inbox while the row is
 * still there. A row that another transaction holds is waited for, and is then gone: nothing to handle. Rows are locked in
 * the order of their key.
 */
function takeText(s: string): string {
  return `
with d as materialized (
  select * from unnest($2::int[], $3::bigint[], $4::uuid[], $5::text[]) d(partition, seq, id, channel)),
shared as materialized (
  select distinct u.channel from ${s}.subscriptions u where u.consumer <> $1 and u.channel = any($5::text[])),
own as materialized (
  select o.partition, o.seq, o.id from ${s}.outbox o join d using (partition, seq, id)
  where d.channel not in (select channel from shared)
    and not exists (select from ${s}.inbox n where n.consumer = $1 and n.message_id = o.id)
  order by o.partition, o.seq for update of o),
gone as (delete from ${s}.outbox o using own
  where o.partition = own.partition and o.seq = own.seq and o.id = own.id returning o.id),
noted as (
  insert into ${s}.inbox (consumer, message_id)
  select distinct $1::text, o.id from ${s}.outbox o join d using (partition, seq, id)
  where d.channel in (select channel from shared) order by 2
  on conflict do nothing returning message_id)
select id from gone union all select message_id from noted`
}

/** One statement: where the inbox row is there already, another has handled the message and nothing is written. */
function refuseText(s: string): string {
  return `
with noted as (
  insert into ${s}.inbox (consumer, message_id) values ($1, $2) on conflict do nothing returning message_id),
letter as (
  insert into ${s}.dead (consumer, id, channel, key, payload, content_type, headers, created_at, attempts, reason,
    error_code, error)
  select $1, message_id, $3::text, $4::text, $5::bytea, $6::text, $7::jsonb, $8::timestamptz, $9::int, $10::text,
    $11::text, $12::text from noted returning 1)
select count(*) as written from letter`
}
