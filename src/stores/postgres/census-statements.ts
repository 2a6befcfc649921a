/**
 * Undelivered messages by channel and lane. Walks the primary key of each partition that has rows, found by hopping from one
 * to the next, and stops at its share of $1 rows; where it stopped, the partition's channels are told as lower limits. On a
 * consumer's lane a row counts until the inbox has it: looked up by key, in a subquery with LIMIT that is not turned round
 * (P10), and behind OFFSET, or it would run once for each of the three places that ask. A row's age begins when it is due.
 */
export function lanesText(s: string): string {
  return `
with recursive place as (
  (select partition from ${s}.outbox order by partition limit 1)
  union all
  select (select o.partition from ${s}.outbox o where o.partition > p.partition order by o.partition limit 1)
  from place p where p.partition is not null),
share as materialized (select ceil($1::float8 / greatest(count(partition), 1))::bigint as most from place),
lane as materialized (
  select c.channel, c.transport, coalesce(u.consumer, '') as consumer
  from ${s}.channels c left join ${s}.subscriptions u on u.channel = c.channel),
counted as materialized (
  select r.partition, r.channel, l.transport, coalesce(l.consumer, '') as consumer, count(*) as looked,
    count(*) filter (where lacks.it and not due.is_delayed) as pending,
    count(*) filter (where lacks.it and due.is_delayed) as delayed,
    min(due.since) filter (where lacks.it and not due.is_delayed) as since
  from place p
  cross join lateral (
    select o.partition, o.id, o.channel, o.created_at, o.not_before from ${s}.outbox o
    where o.partition = p.partition order by o.seq limit (select most from share)) r
  left join lane l on l.channel = r.channel
  cross join lateral (select greatest(r.created_at, r.not_before) as since,
    coalesce(r.not_before > statement_timestamp(), false) as is_delayed) due
  cross join lateral (select coalesce(l.consumer, '') = '' or
    (select true from ${s}.inbox n where n.consumer = l.consumer and n.message_id = r.id limit 1) is null as it
    offset 0) lacks
  where p.partition is not null
  group by 1, 2, 3, 4),
cut as (
  select c.partition from (
    select partition, channel, max(looked) as looked from counted group by 1, 2) c
  group by 1 having sum(c.looked) >= (select most from share)),
known as (
  select channel, transport, consumer from lane
  union select channel, transport, consumer from counted where transport is null)
select k.channel, k.transport, k.consumer, coalesce(sum(c.pending), 0)::float8 as pending,
  coalesce(sum(c.delayed), 0)::float8 as delayed,
  case when min(c.since) is not null
    then greatest(extract(epoch from statement_timestamp() - min(c.since)) * 1000, 0)::float8 end as oldest_ms,
  exists (select from cut where k.transport is null or partition in (
    select p.partition from ${s}.partitions p where p.transport = k.transport)) as is_at_least
from known k left join counted c on c.channel = k.channel and c.consumer = k.consumer
group by 1, 2, 3 order by 1, 3`
}

/** Lines by channel, lane and state. At most $1 are counted, by the primary key: those of any channel may be behind them. */
export function linesText(s: string): string {
  return `
with line as materialized (
  select channel, consumer, state from ${s}.blocked order by consumer, partition, seq limit $1)
select channel, consumer, state, count(*)::int as count, (select count(*) from line) >= $1 as is_at_least
from line group by 1, 2, 3`
}

/** The $1 newest dead letters, by the primary key. */
export function deadText(s: string): string {
  return `
with letter as materialized (select channel, consumer from ${s}.dead order by number desc limit $1)
select channel, consumer, count(*)::int as count, (select count(*) from letter) >= $1 as is_at_least
from letter group by 1, 2 order by 1, 2`
}

/**
 * Relays, with what each holds. Alive is who has both: a lease that has not ended, and its session lock, looked up and not
 * tried, as in the survey of a lane; behind a pooler there is no lock to have.
 */
export function relaysText(s: string): string {
  return `
with held as materialized (
  select k.classid::bigint << 32 | k.objid::bigint as lock_key from pg_locks k
  where k.locktype = 'advisory' and k.objsubid = 1 and k.granted
    and k.database = (select oid from pg_database where datname = current_database()))
select r.id, r.transport, r.consumer, r.host, r.pid, r.application, r.started_at, r.report,
  r.lock_key is null as is_pooled,
  r.lease_until >= clock_timestamp() and (r.lock_key is null or r.lock_key in (select lock_key from held)) as is_alive,
  (select count(*) from ${s}.partitions p where p.transport = r.transport and p.consumer = r.consumer
    and p.owner = r.id)::int as partitions
from ${s}.relays r order by r.transport, r.consumer, r.started_at limit 1000`
}

/**
 * Every lane's partitions, and those whose lease nobody living holds: by the clock, as a claim would judge. Closed ones are
 * nobody's to hold: their lane's number of partitions is being changed. Where a transport's messages go to local consumers each of those
 * has a lane, and the transport's own one is no relay's.
 */
export function partitionsText(s: string): string {
  const isUnowned = 'p.is_open and (p.owner is null or p.lease_until < clock_timestamp())'
  return `
select p.transport, p.consumer, count(*) filter (where p.is_open)::int as total,
  bool_or(not p.is_open) as is_changing, count(*) filter (where ${isUnowned})::int as unowned_count,
  (array_agg(p.partition order by p.partition) filter (where ${isUnowned}))[1:20] as unowned
from ${s}.partitions p
where p.consumer <> '' or not exists (select from ${s}.partitions o where o.transport = p.transport and o.consumer <> '')
group by 1, 2 order by 1, 2`
}

export function lossesText(s: string): string {
  return `
select channel, consumer, cause, count::float8 from ${s}.losses order by channel, consumer, cause limit 1000`
}

/** Lines in \`taken\` are few: each is a batch whose one send is under way, or whose owner died. */
export function takenText(s: string): string {
  return `
select coalesce(sum(cardinality(ids)), 0)::float8 as taken, count(*) >= $1 as is_at_least
from (select ids from ${s}.taken limit $1) t`
}

/**
 * Sessions of this database in a transaction that began more than $1 milliseconds ago and has a snapshot or an id, and
 * prepared transactions of that age. What the session runs is not asked for: it may hold a payload (S16). Another role's
 * sessions show only to a member of pg_read_all_stats.
 */
export const transactionsText = `
select 'session' as kind, coalesce(a.application_name, '') as name, a.pid,
  (extract(epoch from clock_timestamp() - a.xact_start) * 1000)::float8 as age_ms, a.backend_xid is not null as has_written
from pg_stat_activity a
where a.datname = current_database() and a.pid <> pg_backend_pid() and a.backend_type = 'client backend'
  and (a.backend_xid is not null or a.backend_xmin is not null)
  and a.xact_start < clock_timestamp() - $1::float8 * interval '1 millisecond'
union all
select 'prepared', x.gid, null, (extract(epoch from clock_timestamp() - x.prepared) * 1000)::float8, true
from pg_prepared_xacts x
where x.database = current_database() and x.prepared < clock_timestamp() - $1::float8 * interval '1 millisecond'
order by age_ms desc limit 20`
