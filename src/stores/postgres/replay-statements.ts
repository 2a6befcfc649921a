/**
 * By the partial index on what was asked for, whose time is also the end of a process's claim. What another one is about to take is
 * passed by. The start is counted in the same statement, before the handler runs.
 */
export function claimReplayText(s: string): string {
  return `
with own as materialized (
  select d.number from ${s}.dead d
  where d.consumer = $1 and d.replay_at is not null and d.replay_at <= statement_timestamp() and d.channel = any($2::text[])
  order by d.number limit 1 for update skip locked),
claimed as (
  update ${s}.dead d set replay_at = clock_timestamp() + $3::float8 * interval '1 millisecond'
  from own where d.number = own.number returning d.*),
counted as (
  insert into ${s}.attempts as a (consumer, message_id, starts) select $1, c.id, 1 from claimed c
  on conflict (consumer, message_id) do update set starts = a.starts + 1, counted_at = excluded.counted_at
  returning starts)
select c.number::text, c.id, c.channel, c.key, c.payload, c.content_type, c.headers, c.created_at, c.is_foreign, n.starts
from claimed c cross join counted n`
}

/**
 * Whoever finds it held passes by: another process runs it, or an operator purges it. The inbox row is there since the message
 * died, and gets the time of now; where somebody took it away it is made again, as for any message that is handled.
 */
export function takeReplayText(s: string): string {
  return `
with own as materialized (
  select d.number, d.id from ${s}.dead d where d.number = $2::bigint and d.consumer = $1 and d.id = $3::uuid
    and d.replay_at is not null for update skip locked),
gone as (delete from ${s}.dead d using own where d.number = own.number returning d.id),
noted as (
  insert into ${s}.inbox (consumer, message_id) select $1, id from gone
  on conflict (consumer, message_id) do update set processed_at = excluded.processed_at),
uncounted as (delete from ${s}.attempts a using gone where a.consumer = $1 and a.message_id = gone.id)
select count(*)::int as n from gone`
}

/** Where it is not asked for any more somebody else has ended it, and nothing is written. */
export function failReplayText(s: string): string {
  return `
with failed as (
  update ${s}.dead d set replay_at = null, attempts = d.attempts + $4::int, error_code = $5, error = $6,
    first_error_code = coalesce(d.first_error_code, d.error_code), first_error = coalesce(d.first_error, d.error),
    first_failed_at = coalesce(d.first_failed_at, d.died_at), died_at = clock_timestamp()
  where d.number = $2::bigint and d.consumer = $1 and d.id = $3::uuid and d.replay_at is not null returning d.id)
delete from ${s}.attempts a using failed where a.consumer = $1 and a.message_id = failed.id`
}

export function releaseReplayText(s: string): string {
  return `
with released as (
  update ${s}.dead d set replay_at = clock_timestamp()
  where d.number = $2::bigint and d.consumer = $1 and d.id = $3::uuid and d.replay_at is not null returning d.id)
update ${s}.attempts a set starts = greatest(a.starts - 1, 0) from released
where a.consumer = $1 and a.message_id = released.id`
}
