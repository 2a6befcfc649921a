import { kept, returned } from './sent-statements.ts'

/**
 * Sorted, so that two batches with the same ids wait for each other in one direction only; the unique index makes the
 * second wait for the end of the first, and then skip what that committed (I3). Answers with NULL where all of them were new, as they
 * nearly always are: a row for each would be a third of what this costs the client.
 */
export function admitText(s: string): string {
  return `with ${admitting(s)}`
}

function admitting(s: string): string {
  return `noted as (
  insert into ${s}.inbox (consumer, message_id) select distinct $1::text, i from unnest($2::uuid[]) i order by i
  on conflict do nothing returning message_id)
select case when count(*) < cardinality($2::uuid[]) then coalesce(string_agg(message_id::text, ','), '') end as new_ids
from noted`
}

/**
 * The same for a message that runs alone and whose starts were counted: when it commits the count is of no more use, and when
 * it rolls back the count stays.
 */
export function admitAloneText(s: string): string {
  return `
with counted as (delete from ${s}.attempts where consumer = $1 and message_id = any($2::uuid[])),
${admitting(s)}`
}

/**
 * Where the consumer is the only one on the channel the row is deleted; where it is not, it is noted in the inbox, under a lock
 * that a deletion of the row waits for and other consumers' do not. So whichever way another transaction went about a
 * row, this one waits for its end: a row it deleted is gone, one it noted is not noted again.
 *
 * Where sent messages are kept (`keeps`) a row that is deleted is noted too: a replay under the same id must not run its handler again.
 */
export function takeText(s: string, keeps: boolean): string {
  const deleted = keeps ? returned(keeps) : 'returning o.id'
  const noting = keeps ? '(select id from there union select id from gone) d' : 'there'
  const outcome = keeps
    ? 'select message_id as id, false as is_deleted from noted'
    : 'select id, true as is_deleted from gone union all select message_id, false from noted'
  return `
with d as materialized (
  select * from unnest($2::int[], $3::bigint[], $4::uuid[], $5::text[]) d(partition, seq, id, channel)),
shared as materialized (
  select distinct u.channel from ${s}.subscriptions u where u.consumer <> $1 and u.channel = any($5::text[])),
gone as (
  delete from ${s}.outbox o using d
  where o.partition = d.partition and o.seq = d.seq and o.id = d.id and d.channel not in (select channel from shared)
  ${deleted})${kept(s, keeps)},
there as materialized (
  select o.id from ${s}.outbox o join d using (partition, seq, id)
  where d.channel in (select channel from shared) order by o.partition, o.seq for key share of o),
noted as (
  insert into ${s}.inbox (consumer, message_id) select distinct $1::text, id from ${noting} order by 2
  on conflict do nothing returning message_id),
counted as (
  delete from ${s}.attempts where cardinality($4::uuid[]) = 1 and consumer = $1 and message_id = any($4::uuid[]))
${outcome}`
}

/** By primary key. */
export function seenText(s: string): string {
  return `select message_id as id from ${s}.inbox where consumer = $1 and message_id = any($2::uuid[])`
}

export function countStartText(s: string): string {
  return `
insert into ${s}.attempts as a (consumer, message_id, starts) values ($1, $2, 1)
on conflict (consumer, message_id) do update set starts = a.starts + 1, counted_at = excluded.counted_at
returning starts`
}

/** Never below 0, so that a call that is made again after a lost answer gives no attempts away for ever. */
export function takeBackStartText(s: string): string {
  return `update ${s}.attempts set starts = starts - 1 where consumer = $1 and message_id = $2 and starts > 0`
}

/** One statement: where the inbox row is there already, another has handled the message and nothing is written. */
export function refuseText(s: string): string {
  return `
with noted as (
  insert into ${s}.inbox (consumer, message_id) values ($1, $2) on conflict do nothing returning message_id),
letter as (
  insert into ${s}.dead (consumer, id, channel, key, payload, content_type, headers, created_at, attempts, reason,
    error_code, error, is_foreign)
  select $1, message_id, $3::text, $4::text, $5::bytea, $6::text, $7::jsonb, $8::timestamptz, $9::int, $10::text,
    $11::text, $12::text, $13::boolean from noted returning 1),
counted as (
  delete from ${s}.attempts a using noted n where a.consumer = $1 and a.message_id = n.message_id)
select count(*) as written from letter`
}
