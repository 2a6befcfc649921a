import type { DeadLetterFilter, DeadLetterTarget, KeyName } from '../../ports/dead-letters.ts'

/** The condition on row `d`, with the values of {@link filterValues} from $1 on. Planned anew each time, so what is null costs nothing. */
const fits = `
  ($1::text is null or d.channel = $1) and ($2::text is null or d.consumer = $2) and ($3::text is null or d.key = $3)
  and ($4::uuid[] is null or d.id = any($4)) and ($5::bigint[] is null or d.number = any($5))
  and ($6::float8 is null or d.died_at < clock_timestamp() - $6 * interval '1 millisecond')
  and ($7::float8 is null or d.died_at >= clock_timestamp() - $7 * interval '1 millisecond')
  and ($8::text is null or d.reason = $8) and ($9::bigint is null or d.number <= $9)`

export function filterValues(filter: DeadLetterFilter): unknown[] {
  const { channel, consumer, key, ids, numbers, olderThanMs, newerThanMs, reason, upTo } = filter
  return [channel, consumer, key, ids, numbers, olderThanMs, newerThanMs, reason, upTo].map(
    (value) => value ?? null,
  )
}

/** Of row `d`: its key is parked. By the index of lines on their key. */
function isKeyParked(s: string, more = ''): string {
  return `exists (select from ${s}.blocked b where b.consumer = d.consumer and b.channel = d.channel and b.key = d.key
    and b.state = 'parked'${more})`
}

/**
 * Of row `d`: it is the head of a parked key, named by line `b`, or stands behind it. What was given up before that head had let the
 * key go on, and is no part of what waits.
 */
export const standsBehind = `d.partition is not null and (d.seq >= b.seq or d.reason = 'follower')`

function isParked(s: string): string {
  return isKeyParked(s, ` and ${standsBehind}`)
}

function columns(s: string): string {
  return `d.number::text, d.consumer, d.id, d.channel, d.key, d.reason, d.attempts, d.error_code, d.error, d.created_at,
  d.died_at, d.replay_at, d.partition is null as is_from_broker, ${isParked(s)} as is_key_parked,
  (date_part('epoch', clock_timestamp() - greatest(d.created_at, d.not_before)) * 1000)::float8 as age_ms`
}

/** By the primary key, from the last number of the page before. */
export function listText(s: string): string {
  return `
select ${columns(s)} from ${s}.dead d where ${fits} and d.number > $10::bigint order by d.number limit $11::int`
}

/** By the primary key, or the index on the id. */
export function findText(s: string, by: 'number' | 'id'): string {
  return `
select ${columns(s)}, d.payload, d.content_type, d.headers, d.partition, d.seq::text, d.first_error_code, d.first_error,
  d.first_failed_at
from ${s}.dead d where d.${by} = $1 order by d.number limit 100`
}

/** Walks what fits, and of each parked key all there is. */
export function countText(s: string): string {
  return `
with found as materialized (
  select d.consumer, d.channel, d.key, ${isParked(s)} as is_key_parked from ${s}.dead d where ${fits})
select (select count(*) from found)::float8 as messages, (select count(*) from found where is_key_parked)::float8 as of_parked_keys,
  (select coalesce(max(number), 0) from ${s}.dead)::float8 as up_to,
  (select coalesce(json_agg(json_build_object('consumer', k.consumer, 'channel', k.channel, 'key', k.key, 'messages', (
      select count(*) from ${s}.dead d where d.channel = k.channel and d.key = k.key and d.consumer = k.consumer
        and ${isParked(s)})) order by k.consumer, k.channel, k.key), '[]')
    from (select distinct consumer, channel, key from found where is_key_parked) k) as parked_keys`
}

/**
 * The lines of a parked key, held until the transaction ends: relays lock them before they move a follower, other operators
 * before they do anything (PROTOCOLS 5).
 */
export function lockLineText(s: string): string {
  return `
select b.partition, b.seq::text, b.id from ${s}.blocked b
where b.consumer = $1 and b.channel = $2 and b.key = $3 and b.state = 'parked'
order by b.partition, b.seq for update of b`
}

/**
 * Holds dead letters by number, those that nobody else holds, and tells what can be done with each. A consumer's process holds
 * the one it is running.
 */
export function lockLettersText(s: string): string {
  return `
select d.number::text, d.consumer, d.partition is not null as was_stored, d.replay_at is not null as is_asked,
  ${isKeyParked(s)} as is_key_parked, ${isParked(s)} as is_parked, ${hasChannel(s)} as has_channel, ${hasConsumer(s)} as has_consumer
from ${s}.dead d where d.number = any($1::bigint[]) order by d.number for update of d skip locked`
}

/** How many of these there are, whoever holds them. */
export function thereText(s: string): string {
  return `select count(*)::int as n from ${s}.dead d where d.number = any($1::bigint[])`
}

/**
 * Held by replays into the channels of the dead letters $1, to the end of their transactions. Two consumers may have given up the same
 * message, and whoever puts its row in anew notes it for the other one: the two must not do so at once. In one order; a replay takes
 * it before all other locks.
 */
export function lockReplaysText(s: string): string {
  return `
select pg_advisory_xact_lock(c.hash) from (
  select distinct ${replayLock(s, 'd.channel')} as hash from ${s}.dead d where d.number = any($1::bigint[]) order by 1) c`
}

/** The same for one channel. */
export function lockReplayText(s: string): string {
  return `select pg_advisory_xact_lock(${replayLock(s, '$1::text')})`
}

function replayLock(s: string, channel: string): string {
  return `hashtextextended('waybill replay ${s.replaceAll("'", "''")}' || chr(10) || ${channel}, 0)`
}

/**
 * Of a parked key, whose dead letters are held by its line: what stands in the way of all of them, for they come back together or not at
 * all. No row where there is none. A row that waits for another consumer must stand where the others are put, or the two would be read
 * without regard to their order.
 */
export function keyPlaceText(s: string, { text }: Which): string {
  return `
with placed as materialized (${placedText(s, text)})
select bool_and(${hasChannel(s)}) as has_channel, bool_and(${hasConsumer(s)}) as has_consumer,
  coalesce(bool_or(d.consumer <> '' and (d.stands_in <> d.new_partition or ${isLeftBehind(s, 'd.consumer', 'd.stands_in')})),
    false) as is_elsewhere, count(*)::int as n
from placed d having count(*) > 0`
}

function hasChannel(s: string): string {
  return `exists (select from ${s}.channels c where c.channel = d.channel)`
}

/** A relay's own needs none. */
function hasConsumer(s: string): string {
  return `(d.consumer = '' or d.partition is null
    or exists (select from ${s}.subscriptions u where u.consumer = d.consumer and u.channel = d.channel))`
}

export interface Which {
  /** A condition on row `d`. */
  readonly text: string
  readonly values: readonly unknown[]
}

/** Dead letters that stood in the outbox, by number. */
export function these(numbers: readonly number[]): Which {
  return { text: 'd.number = any($1::bigint[])', values: [numbers] }
}

/** All of a parked key, whose line names its head; perhaps without that. */
export function allOf(
  target: Extract<DeadLetterTarget, { readonly key: KeyName }>,
  head: { readonly partition: number; readonly seq: string; readonly id: string },
): Which {
  const { consumer, channel, key } = target.key
  return {
    text: `d.consumer = $1 and d.channel = $2 and d.key = $3 and d.partition is not null
      and (d.seq >= $5::bigint or d.reason = 'follower')
      and not ($7::boolean and d.partition = $4::int and d.seq = $5::bigint and d.id = $6::uuid)`,
    values: [consumer, channel, key, head.partition, head.seq, head.id, target.withoutHead === true],
  }
}

/**
 * Partitions in which the row of dead letter `d` may stand, for others: where it stood when this consumer gave it up, or where another
 * one's replay has put it since, by another layout. A parked key's letters also go on to its consumer's next layout while their rows
 * stay.
 */
function places(s: string): string {
  return `(select d.partition union
    select l.first_partition + abs(${hashOf('d', 'k.ordered')} % l.partitions)::int
    from ${s}.channels k join ${s}.layouts l on l.transport = k.transport where k.channel = d.channel)`
}

function hashOf(row: string, ordered: string): string {
  return `case when ${ordered} then hashtextextended(${row}.key, hashtextextended(${row}.channel, 0)) else uuid_hash_extended(${row}.id, 0) end`
}

/**
 * Dead letters with where they are to be put and where their row stands, by its primary key. The partition is reckoned as in
 * outbox-writer.ts, from the layout of now; while an older one still drains, from that, for what it holds of the key comes after
 * them.
 */
function placedText(s: string, text: string): string {
  return `
  select d.*, coalesce(old.first_partition, t.first_partition)
      + abs(${hashOf('d', 'c.ordered')} % coalesce(old.partitions, t.partitions))::int as new_partition,
    (select w.partition from ${places(s)} w(partition) cross join lateral (
      select from ${s}.outbox o where o.partition = w.partition and o.seq = d.seq and o.id = d.id limit 1) o limit 1) as stands_in
  from ${s}.dead d
  left join ${s}.channels c on c.channel = d.channel left join ${s}.transports t on t.transport = c.transport
  left join lateral (
    select l.first_partition, l.partitions from ${s}.layouts l
    where l.transport = t.transport and l.consumer = d.consumer and l.state = 'draining' order by l.generation limit 1) old on true
  where ${text}`
}

/**
 * Of dead letters of local consumers: holds those of their rows that are still in the outbox for others. FOR UPDATE, which a
 * consumer that takes or notes such a row waits for: what the next statements see of the inbox stays so. Each by the primary key and in
 * its order, in subqueries with LIMIT, which the planner does not turn round into a walk over the outbox (P10).
 */
export function lockRowsText(s: string, { text }: Which): string {
  return `
with d as materialized (
  select w.partition, d.seq, d.id from ${s}.dead d cross join lateral ${places(s)} w(partition)
  where d.consumer <> '' and ${text} order by 1, 2),
held as materialized (
  select 1 from d cross join lateral (
    select from ${s}.outbox o where o.partition = d.partition and o.seq = d.seq and o.id = d.id limit 1 for update) o)
select count(*)::int as n from held`
}

/**
 * Deletes those rows which every subscriber has: they are put in anew by the next statement. A relay that is about to delete one,
 * by a snapshot in which every subscriber had it, then finds another row than its own, and leaves it; by a lock alone it would go
 * on when the lock ends. Nobody is about to handle such a row.
 */
export function clearRowsText(s: string, { text }: Which): string {
  return `
delete from ${s}.outbox x where x.ctid = any(array(
  select f.place from ${s}.dead d cross join lateral ${places(s)} w(partition) cross join lateral (
    select o.ctid as place from ${s}.outbox o where o.partition = w.partition and o.seq = d.seq and o.id = d.id
      and not exists (select from ${s}.subscriptions u where u.channel = o.channel
        and not exists (select from ${s}.inbox n where n.consumer = u.consumer and n.message_id = o.id))
    limit 1) f
  where d.consumer <> '' and ${text}))`
}

/**
 * A row that waits for another consumer may stand in a layout that this one has left for good: it would never read it there. Moved, it
 * would stand before what the other one has still to get of its key.
 */
function isLeftBehind(s: string, consumer: string, partition: string): string {
  return `exists (select from ${s}.layouts l where l.consumer = ${consumer} and l.state = 'retired'
    and ${partition} >= l.first_partition and ${partition} < l.first_partition + l.partitions)`
}

/**
 * Puts dead letters back where they stood, in the order of their old numbers. For a local consumer the row may still be there for others,
 * and stays; where it was not, every other subscriber has had the message and gets an inbox row. This consumer's inbox row goes, and
 * the count of its starts. Of one consumer at a time: another's layout may be another.
 *
 * Rows stand below the floors of their readers: the counter of each partition rises, last, for renewals and other effects of the
 * relays wait for it. Returns how many went back.
 */
export function returnText(s: string, { text }: Which): string {
  return `
with placed as materialized (${placedText(s, text)}),
d as materialized (
  select p.* from placed p where p.new_partition is not null and not ${isLeftBehind(s, 'p.consumer', 'p.stands_in')}),
back as (
  insert into ${s}.outbox (partition, seq, id, channel, key, payload, content_type, headers, created_at, not_before)
  overriding system value
  select e.new_partition, e.seq, e.id, e.channel, e.key, e.payload, e.content_type, e.headers, e.created_at, e.not_before from (
    select distinct on (d.partition, d.seq, d.id) d.* from d where d.stands_in is null order by d.partition, d.seq, d.id) e
  order by e.seq),
noted as (
  insert into ${s}.inbox (consumer, message_id)
  select distinct u.consumer, d.id from d join ${s}.subscriptions u on u.channel = d.channel
  where d.consumer <> '' and d.stands_in is null
    and not exists (select from d own where own.id = d.id and own.consumer = u.consumer)
  order by 1, 2 on conflict do nothing),
forgotten as (
  delete from ${s}.inbox n using d where d.consumer <> '' and n.consumer = d.consumer and n.message_id = d.id),
uncounted as (
  delete from ${s}.attempts a using d where d.consumer <> '' and a.consumer = d.consumer and a.message_id = d.id),
gone as (delete from ${s}.dead x using d where x.number = d.number returning 1),
rewound as (
  insert into ${s}.rewinds as r (consumer, partition, counter)
  select consumer, partition, 1 from (
    select distinct d.consumer, coalesce(d.stands_in, d.new_partition) as partition from d order by 1, 2) l
  on conflict (consumer, partition) do update set counter = r.counter + 1)
select count(*)::int as n from gone`
}

/** Marks what came from a broker for its consumer's process. By the primary key. */
export function askText(s: string): string {
  return `
with asked as (
  update ${s}.dead d set replay_at = clock_timestamp() where d.number = any($1::bigint[]) and d.replay_at is null returning 1)
select count(*)::int as n from asked`
}

export function purgeText(s: string, { text }: Which): string {
  return `
with gone as (delete from ${s}.dead d where ${text} returning 1) select count(*)::int as n from gone`
}

/**
 * Ends a parked key's lines, held by {@link lockLineText}. Where one went, what it held is eligible: the counter of its partition,
 * which need not be the one its rows are in now, rises.
 */
export function endLineText(s: string): string {
  return `
with line as (
  delete from ${s}.blocked b where b.consumer = $1 and b.channel = $2 and b.key = $3 and b.state = 'parked' returning b.partition)
insert into ${s}.rewinds as r (consumer, partition, counter)
select $1, partition, 1 from (select distinct partition from line order by 1) l
on conflict (consumer, partition) do update set counter = r.counter + 1`
}
