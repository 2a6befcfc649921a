import type { Lane } from '../../ports/lane.ts'
import { rewindText } from './outbox-remove-statements.ts'

/**
 * The epoch is read under FOR KEY SHARE: a claim, which locks FOR UPDATE, skips that partition or is seen here, so nothing is
 * written for an epoch that has ended; a renewal, which locks FOR NO KEY UPDATE, does not wait for a line that waits for its
 * row (R4). Rows are locked in the order of their key, against deletes: by KEY SHARE, which does not wait for other
 * consumers' transactions, or by UPDATE where this statement deletes them. On a consumer's lane a row it has handled
 * is gone.
 *
 * Each row is looked up in a lateral subquery with LIMIT: a join would be turned round into a walk over the whole key (P10).
 */
export function checked(s: string, lane: Lane, lock: 'key share' | 'update'): string {
  const isUnhandled =
    lane.consumer === ''
      ? ''
      : `
      and not exists (select from ${s}.inbox n where n.consumer = $4 and n.message_id = o.id)`
  return `
held as materialized (
  select p.partition, p.epoch from ${s}.partitions p
  where p.consumer = $4 and p.partition in (select partition from d) order by p.partition for key share),
locked as materialized (
  select o.* from (
    select d.partition, d.seq, d.id from d join held h on h.partition = d.partition and h.epoch = d.epoch
    order by d.partition, d.seq offset 0) e
  cross join lateral (
    select o.ctid as place, o.* from ${s}.outbox o
    where o.partition = e.partition and o.seq = e.seq and o.id = e.id${isUnhandled} limit 1 for ${lock}) o)`
}

/**
 * The same, and then the rows of `among` leave the lane: the row goes, or on a consumer's lane, where it stays for the others, the
 * inbox row decides. Where that is there already the message has been handled, and it is not in `ended`.
 */
export function ending(
  s: string,
  lane: Lane,
  among = 'locked',
): { readonly lock: 'key share' | 'update'; readonly ended: string } {
  if (lane.consumer === '') {
    return {
      lock: 'update',
      ended: `
ended as (
  delete from ${s}.outbox o using ${among} k where o.partition = k.partition and o.seq = k.seq and o.id = k.id
  returning o.id)`,
    }
  }
  return {
    lock: 'key share',
    ended: `
ended as (
  insert into ${s}.inbox (consumer, message_id) select distinct $4::text, id from ${among} order by 2
  on conflict do nothing returning message_id as id),
counted as (
  delete from ${s}.attempts a using ended e where a.consumer = $4 and a.message_id = e.id)`,
  }
}

/** One row for each of `d`: whether it is in the CTE `done`, and if it is not, why. `word` is what being there is called. */
export function outcomes(done: string, word: 'written' | 'taken', columns = ''): string {
  return `
select d.place, case when h.partition is null then 'fenced' when w.seq is null then 'gone' else '${word}' end as outcome${columns}
from d left join held h on h.partition = d.partition and h.epoch = d.epoch
left join ${done} w on w.partition = d.partition and w.seq = d.seq and w.id = d.id`
}

/** The row's own line, by primary key. In a lateral subquery with LIMIT, which is not turned round into a walk over all lines. */
export function ownLine(s: string): string {
  return `
left join lateral (
  select b.* from ${s}.blocked b where b.consumer = $4 and b.partition = o.partition and b.seq = o.seq and b.id = o.id limit 1) b on true`
}

/**
 * Without a time the line waits for an operator. A line of a row that is gone may bear the same number, after a restore: it is
 * written over; a line of the same row keeps its first failure.
 */
export function blockText(s: string, lane: Lane): string {
  return `
with d as materialized (
  select * from unnest($1::int[], $2::bigint[], $3::uuid[], $5::bigint[], $6::int[], $7::text[], $8::text[], $9::text[],
    $10::text[], $11::float8[], $12::boolean[]) with ordinality
    d(partition, seq, id, epoch, attempts, error_code, error, channel, key, retry_in_ms, in_doubt, place)),
${checked(s, lane, 'key share')},
line as (
  insert into ${s}.blocked as b (consumer, partition, seq, id, channel, key, state, attempts, retry_at, in_doubt, error_code,
    error, first_error_code, first_error)
  select $4, d.partition, d.seq, d.id, d.channel, d.key, case when d.retry_in_ms is null then 'blocked' else 'retrying' end,
    d.attempts, coalesce(clock_timestamp() + d.retry_in_ms * interval '1 millisecond', 'infinity'), d.in_doubt, d.error_code,
    d.error, d.error_code, d.error
  from d join locked o using (partition, seq, id)
  order by d.partition, d.seq
  on conflict (consumer, partition, seq) do update set id = excluded.id, channel = excluded.channel, key = excluded.key,
    state = excluded.state, retry_at = excluded.retry_at, ${renewed('in_doubt', 'b.in_doubt or excluded.in_doubt')},
    ${renewed('attempts', 'greatest(b.attempts, excluded.attempts)')}, ${lastAndFirst}
  returning b.partition, b.seq, b.id)
${outcomes('line', 'written')}`
}

/** Of a line that is written again: what it becomes where it is of the same row. */
function renewed(column: string, value: string): string {
  return `${column} = case when b.id = excluded.id then ${value} else excluded.${column} end`
}

const lastAndFirst = `error_code = excluded.error_code, error = excluded.error, failed_at = excluded.failed_at,
    ${['first_error_code', 'first_error', 'first_failed_at'].map((name) => renewed(name, `b.${name}`)).join(', ')}`

/**
 * Copy, delete of row and line and raise of the counter are one statement (O5). Of a head that parks its key the line stays, or
 * is made: it names a row that is gone, and holds the key until an operator has dealt with what is in dead.
 */
export function buryText(s: string, lane: Lane): string {
  const { lock, ended } = ending(s, lane)
  return `
with d as materialized (
  select * from unnest($1::int[], $2::bigint[], $3::uuid[], $5::bigint[], $6::int[], $7::text[], $8::text[], $9::text[],
    $10::boolean[]) with ordinality d(partition, seq, id, epoch, attempts, error_code, error, reason, parks, place)),
${checked(s, lane, lock)},
${ended},
letter as (
  insert into ${s}.dead (consumer, id, channel, key, payload, content_type, headers, created_at, not_before, partition, seq,
    attempts, reason, error_code, error, first_error_code, first_error, first_failed_at)
  select $4, o.id, o.channel, o.key, o.payload, o.content_type, o.headers, o.created_at, o.not_before, o.partition, o.seq, d.attempts,
    d.reason, d.error_code, d.error, coalesce(b.first_error_code, d.error_code), coalesce(b.first_error, d.error),
    coalesce(b.first_failed_at, clock_timestamp())
  from d join locked o using (partition, seq, id) join ended e using (id) ${ownLine(s)}
  order by d.place returning partition, seq, id),
parked as (
  insert into ${s}.blocked as b (consumer, partition, seq, id, channel, key, state, attempts, retry_at, error_code, error,
    first_error_code, first_error)
  select $4, o.partition, o.seq, o.id, o.channel, o.key, 'parked', d.attempts, 'infinity', d.error_code, d.error,
    d.error_code, d.error
  from d join locked o using (partition, seq, id) join ended e using (id) where d.parks order by o.partition, o.seq
  on conflict (consumer, partition, seq) do update set id = excluded.id, channel = excluded.channel, key = excluded.key,
    state = excluded.state, attempts = excluded.attempts, retry_at = excluded.retry_at, ${lastAndFirst}),
line as (
  delete from ${s}.blocked b using locked o join d using (partition, seq, id) left join ended e using (id)
  where b.consumer = $4 and b.partition = o.partition and b.seq = o.seq and b.id = o.id and (not d.parks or e.id is null)),
rewound as (${rewindText(s, 'locked')})
${outcomes('letter', 'written')}`
}
