import type { Lane } from '../../ports/lane.ts'
import { rewindText } from './outbox-remove-statements.ts'

/**
 * The epoch is read under FOR KEY SHARE: a claim, which locks FOR UPDATE, skips that partition or is seen here, so nothing is
 * written for an epoch that has ended; a renewal, which locks FOR NO KEY UPDATE, does not wait for a line that waits for its
 * row (R4). Rows are locked in the order of their key, against deletes: by KEY SHARE, which does not wait for other
 * consumers' transactions, or by UPDATE where this statement deletes them. On a consumer's lane a row it has handled
 * is gone.
 */
export function checked(s: string, lane: Lane, lock: 'key share' | 'update'): string {
  const isUnhandled =
    lane.consumer === ''
      ? ''
      : `where not exists (select from ${s}.inbox n where n.consumer = $4 and n.message_id = o.id)`
  return `
held as materialized (
  select p.partition, p.epoch from ${s}.partitions p
  where p.consumer = $4 and p.partition in (select partition from d) order by p.partition for key share),
locked as materialized (
  select o.* from ${s}.outbox o join d using (partition, seq, id)
  join held h on h.partition = d.partition and h.epoch = d.epoch
  ${isUnhandled} order by o.partition, o.seq for ${lock} of o)`
}

/** One row for each of `d`: whether it is in the CTE `done`, and if it is not, why. `word` is what being there is called. */
export function outcomes(done: string, word: 'written' | 'taken', columns = ''): string {
  return `
select d.place, case when h.partition is null then 'fenced' when w.seq is null then 'gone' else '${word}' end as outcome${columns}
from d left join held h on h.partition = d.partition and h.epoch = d.epoch
left join ${done} w on w.partition = d.partition and w.seq = d.seq and w.id = d.id`
}

/** A line of a row that is gone may bear the same number, after a restore: it is written over. */
export function blockText(s: string, lane: Lane): string {
  return `
with d as materialized (
  select * from unnest($1::int[], $2::bigint[], $3::uuid[], $5::bigint[], $6::int[], $7::text[], $8::text[], $9::text[],
    $10::text[], $11::float8[]) with ordinality
    d(partition, seq, id, epoch, attempts, error_code, error, channel, key, retry_in_ms, place)),
${checked(s, lane, 'key share')},
line as (
  insert into ${s}.blocked as b (consumer, partition, seq, id, channel, key, attempts, retry_at, error_code, error)
  select $4, d.partition, d.seq, d.id, d.channel, d.key, d.attempts,
    clock_timestamp() + d.retry_in_ms * interval '1 millisecond', d.error_code, d.error
  from d join locked o using (partition, seq, id)
  order by d.partition, d.seq
  on conflict (consumer, partition, seq) do update set id = excluded.id, channel = excluded.channel, key = excluded.key,
    attempts = case when b.id = excluded.id then greatest(b.attempts, excluded.attempts) else excluded.attempts end,
    retry_at = excluded.retry_at, error_code = excluded.error_code, error = excluded.error
  returning b.partition, b.seq, b.id)
${outcomes('line', 'written')}`
}

/**
 * Copy, delete of row and line and raise of the counter are one statement (O5). On a consumer's lane the row stays for the
 * others, and the inbox row decides: where it is there already the message has been handled, and no letter is written.
 */
export function buryText(s: string, lane: Lane): string {
  const isShared = lane.consumer !== ''
  const ended = isShared
    ? `
ended as (
  insert into ${s}.inbox (consumer, message_id) select distinct $4::text, id from locked order by 2
  on conflict do nothing returning message_id as id),
counted as (
  delete from ${s}.attempts a using ended e where a.consumer = $4 and a.message_id = e.id)`
    : `
ended as (
  delete from ${s}.outbox o using locked k where o.partition = k.partition and o.seq = k.seq and o.id = k.id
  returning o.id)`
  return `
with d as materialized (
  select * from unnest($1::int[], $2::bigint[], $3::uuid[], $5::bigint[], $6::int[], $7::text[], $8::text[], $9::text[])
    with ordinality d(partition, seq, id, epoch, attempts, error_code, error, reason, place)),
${checked(s, lane, isShared ? 'key share' : 'update')},
${ended},
letter as (
  insert into ${s}.dead (consumer, id, channel, key, payload, content_type, headers, created_at, partition, seq, attempts,
    reason, error_code, error)
  select $4, o.id, o.channel, o.key, o.payload, o.content_type, o.headers, o.created_at, o.partition, o.seq, d.attempts,
    d.reason, d.error_code, d.error
  from d join locked o using (partition, seq, id) join ended e using (id)
  order by d.place returning partition, seq, id),
line as (
  delete from ${s}.blocked b using locked o
  where b.consumer = $4 and b.partition = o.partition and b.seq = o.seq and b.id = o.id),
rewound as (${rewindText(s, 'locked')})
${outcomes('letter', 'written')}`
}
