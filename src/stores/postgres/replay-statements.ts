/** By the partial index on what was asked for. */
export function askedText(s: string): string {
  return `
select d.number::text, d.id, d.channel, d.key, d.payload, d.content_type, d.headers, d.created_at, d.is_foreign, d.attempts
from ${s}.dead d
where d.consumer = $1 and d.channel = any($2::text[]) and d.replay_at is not null
order by d.number limit $3::int`
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
    died_at = clock_timestamp()
  where d.number = $2::bigint and d.consumer = $1 and d.id = $3::uuid and d.replay_at is not null returning d.id),
uncounted as (delete from ${s}.attempts a using failed where a.consumer = $1 and a.message_id = failed.id)
select count(*)::int as n from failed`
}
