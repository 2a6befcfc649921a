import type { KeyFilter, LineName } from '../../ports/keys.ts'
import { standsBehind } from './dead-letter-statements.ts'

/** The condition on line `b`, with the values of {@link keyFilterValues} from $1 on. */
const fits = `
  ($1::text is null or b.channel = $1) and ($2::text is null or b.consumer = $2) and ($3::text is null or b.key = $3)
  and ($4::uuid[] is null or b.id = any($4)) and ($5::text is null or b.state = $5)
  and ($6::float8 is null or b.failed_at < clock_timestamp() - $6 * interval '1 millisecond')
  and ($7::float8 is null or b.failed_at >= clock_timestamp() - $7 * interval '1 millisecond')`

export function keyFilterValues(filter: KeyFilter): unknown[] {
  const { channel, consumer, key, ids, state, olderThanMs, newerThanMs } = filter
  return [channel, consumer, key, ids, state, olderThanMs, newerThanMs].map((value) => value ?? null)
}

/** By the primary key, from the last line of the page before; the followers by the index of dead letters on their key. */
export function listKeysText(s: string): string {
  return `
select b.consumer, b.partition, b.seq::text, b.id, b.channel, b.key, b.state, b.attempts, nullif(b.retry_at, 'infinity') as retry_at,
  b.error_code, b.error, coalesce(b.first_failed_at, b.failed_at) as first_failed_at,
  case when b.state = 'parked' then (select count(*)::int from (
    select from ${s}.dead d where d.channel = b.channel and d.key = b.key and d.consumer = b.consumer
      and ${standsBehind} limit 10000) k) else 0 end as parked_messages
from ${s}.blocked b
where ${fits} and ($8::text is null or (b.consumer, b.partition, b.seq) > ($8::text, $9::int, $10::bigint))
order by b.consumer, b.partition, b.seq limit $11::int`
}

export function countKeysText(s: string): string {
  return `select count(*)::int as n from ${s}.blocked b where ${fits}`
}

/** The lines $1 to $3, in the order of their key, held until the transaction ends: a relay that writes one waits. */
export function lockLinesText(s: string): string {
  return `
select b.consumer, b.partition, b.seq::text, b.state from ${s}.blocked b
join unnest($1::text[], $2::int[], $3::bigint[]) l(consumer, partition, seq)
  on b.consumer = l.consumer and b.partition = l.partition and b.seq = l.seq
order by b.consumer, b.partition, b.seq for update of b`
}

/**
 * A later statement than the one that locked them, so it sees what a relay wrote while that one waited. With the attempts of a blocked
 * one goes the count of its starts: a handler that runs alone, as the first ones after a restart do, would else be given up unrun.
 */
export function unblockText(s: string): string {
  return `
with uncounted as (
  delete from ${s}.attempts a using ${s}.blocked b, unnest($1::text[], $2::int[], $3::bigint[]) l(consumer, partition, seq)
  where b.consumer = l.consumer and b.partition = l.partition and b.seq = l.seq and b.state = 'blocked'
    and a.consumer = b.consumer and a.message_id = b.id),
free as (
  update ${s}.blocked b set state = 'retrying', retry_at = clock_timestamp(),
    attempts = case when b.state = 'blocked' then 0 else b.attempts end
  from unnest($1::text[], $2::int[], $3::bigint[]) l(consumer, partition, seq)
  where b.consumer = l.consumer and b.partition = l.partition and b.seq = l.seq and b.state <> 'parked'
  returning b.consumer, b.partition),
rewound as (
  insert into ${s}.rewinds as r (consumer, partition, counter)
  select consumer, partition, 1 from (select distinct consumer, partition from free order by 1, 2) l
  on conflict (consumer, partition) do update set counter = r.counter + 1)
select count(*)::int as n from free`
}

/**
 * The row of line $1 to $3, held against every other effect: FOR UPDATE waits for a handler that has taken it, and deletes wait
 * for this.
 */
export function lockHeadText(s: string): string {
  return `
select o.id from ${s}.outbox o join ${s}.blocked b on b.partition = o.partition and b.seq = o.seq and b.id = o.id
where b.consumer = $1 and b.partition = $2 and b.seq = $3 for update of o`
}

/**
 * Letter, end of row and line, and raise of the counter are one statement (O5). For a local consumer the row stays for the others
 * and the inbox row decides, as where a relay gives up: was it there already, the message has been handled and no letter is
 * written. A line whose row is gone goes all the same: there is nothing left to hold.
 */
export function skipText(s: string): string {
  return `
with l as materialized (
  select b.* from ${s}.blocked b where b.consumer = $1 and b.partition = $2 and b.seq = $3 and b.state <> 'parked'),
o as materialized (
  select o.* from ${s}.outbox o join l on l.partition = o.partition and l.seq = o.seq and l.id = o.id),
noted as (
  insert into ${s}.inbox (consumer, message_id) select $1, o.id from o where $1 <> '' on conflict do nothing
  returning message_id as id),
uncounted as (delete from ${s}.attempts a using noted n where a.consumer = $1 and a.message_id = n.id),
gone as (
  delete from ${s}.outbox x using o where $1 = '' and x.partition = o.partition and x.seq = o.seq and x.id = o.id
  returning x.id),
letter as (
  insert into ${s}.dead (consumer, id, channel, key, payload, content_type, headers, created_at, not_before, partition, seq,
    attempts, reason, error_code, error, first_error_code, first_error, first_failed_at)
  select $1, o.id, o.channel, o.key, o.payload, o.content_type, o.headers, o.created_at, o.not_before, o.partition, o.seq, l.attempts,
    'skipped', l.error_code, l.error, l.first_error_code, l.first_error, l.first_failed_at
  from o cross join l where o.id in (select id from noted union all select id from gone)
  returning 1),
line as (
  delete from ${s}.blocked b using l where b.consumer = l.consumer and b.partition = l.partition and b.seq = l.seq
  returning b.partition),
rewound as (
  insert into ${s}.rewinds as r (consumer, partition, counter) select $1, partition, 1 from line
  on conflict (consumer, partition) do update set counter = r.counter + 1)
select (select count(*)::int from line) as lines, (select count(*)::int from letter) as letters`
}

export function lineColumns(lines: readonly LineName[]): unknown[] {
  return [
    lines.map((line) => line.consumer),
    lines.map((line) => line.partition),
    lines.map((line) => line.seq.toString()),
  ]
}
