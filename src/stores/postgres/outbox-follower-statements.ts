import type { Lane } from '../../ports/lane.ts'
import { checked, ending, outcomes, ownLine } from './outbox-line-statements.ts'

/**
 * Locks the lines of parked keys (channels $2, keys $3 of consumer $1), in the order of their key, by the partial index on them.
 * Whoever replays, purges or clears such a key locks its line first as well, and each acts in a later statement, whose snapshot
 * shows what the other has committed: so nothing is put beside a head that has just left (PROTOCOLS 5).
 */
export function lockParkedText(s: string): string {
  return `
select 1 as locked from ${s}.blocked b where b.consumer = $1 and b.state = 'parked'
  and (b.channel, b.key) in (select * from unnest($2::text[], $3::text[])) order by b.partition, b.seq for update`
}

/**
 * Moves rows of parked keys beside their heads, each with its own line. Where the line of the key is gone nothing is moved: the
 * row is eligible again, and who took the line away has raised the counter.
 */
export function moveFollowersText(s: string, lane: Lane): string {
  const { lock, ended } = ending(s, lane, 'behind')
  return `
with d as materialized (
  select * from unnest($1::int[], $2::bigint[], $3::uuid[], $5::bigint[]) with ordinality
    d(partition, seq, id, epoch, place)),
${checked(s, lane, lock)},
behind as materialized (
  select o.*, h.id as head from locked o cross join lateral (
    select b.id from ${s}.blocked b
    where b.consumer = $4 and b.channel = o.channel and b.key = o.key and b.state = 'parked' limit 1) h),
${ended},
letter as (
  insert into ${s}.dead (consumer, id, channel, key, payload, content_type, headers, created_at, not_before, partition, seq,
    attempts, reason, error_code, error, first_error_code, first_error, first_failed_at)
  select $4, o.id, o.channel, o.key, o.payload, o.content_type, o.headers, o.created_at, o.not_before, o.partition, o.seq,
    coalesce(b.attempts, 0), 'follower', 'KEY_PARKED', 'its key is parked: it stands behind message ' || o.head,
    b.first_error_code, b.first_error, b.first_failed_at
  from behind o join ended e using (id) ${ownLine(s)}
  order by o.partition, o.seq returning partition, seq, id),
line as (
  delete from ${s}.blocked b using behind o
  where b.consumer = $4 and b.partition = o.partition and b.seq = o.seq and b.id = o.id and b.state <> 'parked')
select f.place, case when f.outcome = 'gone' and k.seq is not null and n.seq is null then 'unparked' else f.outcome end as outcome
from (${outcomes('letter', 'written')}) f join d using (place)
left join locked k using (partition, seq, id) left join behind n using (partition, seq, id)`
}
