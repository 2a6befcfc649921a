import { kindText } from './backlog.ts'

/** Held by publishers of a transport, shared, while its layout changes: see the function \`locked_layout\`. */
export function layoutLockText(s: string): string {
  return `select pg_advisory_xact_lock(hashtextextended('waybill layout ${literal(s)}' || chr(10) || $1::text, 0))`
}

/** Held by the one session that changes layouts of this schema, as long as it lives; behind a pooler no session is one's own. */
export function changerLockText(s: string): string {
  return `select pg_try_advisory_lock(hashtextextended('waybill change of layouts ${literal(s)}', 0)) as got`
}

export function lookText(s: string): string {
  return `
select t.transport, t.partitions, t.is_changing, (
  select count(distinct l.generation) from ${s}.layouts l where l.transport = t.transport
    and (l.state in ('draining', 'lingering') or l.state = 'retired' and exists (
      select from ${s}.partitions p where p.transport = l.transport and p.consumer = l.consumer
        and p.partition >= l.first_partition and p.partition < l.first_partition + l.partitions)))::int as older
from ${s}.transports t where t.transport = any($1::text[]) order by 1`
}

/** From its commit on every new transaction reads the layout under its lock. */
export function announceText(s: string): string {
  return `
update ${s}.transports set is_changing = $2::uuid is not null, changer = $2::uuid where transport = $1`
}

/**
 * Transactions of this database that are under way: those that were so when a change was announced may not know of it. By their
 * \`virtualxid\` locks, because one that has only read has a snapshot and no id yet. A vacuum publishes nothing.
 */
export const sessionsText = `
select k.virtualtransaction as id, 'process ' || k.pid || coalesce(' ("' || nullif(a.application_name, '') || '")', '') as name
from pg_locks k join pg_stat_activity a on a.pid = k.pid
where k.locktype = 'virtualxid' and k.granted and a.datname = current_database() and k.pid <> pg_backend_pid()
  and a.backend_type is distinct from 'autovacuum worker'
order by a.xact_start`

/** Prepared ones have no such lock. To be asked when the sessions' are over: one of them may have been prepared meanwhile. */
export const preparedText = `
select x.transaction::text as id, 'the prepared transaction "' || x.gid || '"' as name
from pg_prepared_xacts x where x.database = current_database() order by x.prepared`

/**
 * The change itself, under the lock of the layout: who published before has committed, who publishes after it waits for this. The
 * numbers are new ones. Where another run $3 has begun or ended a change meanwhile nothing is done: writers may have come and gone
 * between the two that this one has not waited for.
 */
export function changeText(s: string): string {
  return `
with place as materialized (
  select max(l.first_partition + l.partitions) as first_partition,
    max(l.generation) filter (where l.transport = $1) + 1 as generation
  from ${s}.layouts l),
changed as (
  update ${s}.transports t set first_partition = place.first_partition, partitions = $2::int, is_changing = false, changer = null
  from place where t.transport = $1 and t.changer = $3::uuid returning t.transport),
lane as materialized (
  select l.consumer from ${s}.layouts l, changed where l.transport = $1 and l.state = 'current'),
older as (
  update ${s}.layouts l set state = 'draining' from changed where l.transport = $1 and l.state = 'current'),
newer as (
  insert into ${s}.layouts (transport, consumer, generation, first_partition, partitions, state)
  select $1, lane.consumer, place.generation, place.first_partition, $2::int, 'current' from lane, place),
opened as (
  insert into ${s}.partitions (consumer, partition, transport, is_open)
  select lane.consumer, p, $1, false
  from lane, place, generate_series(place.first_partition, place.first_partition + $2::int - 1) p)
select count(*)::int as changed from changed`
}

/**
 * Of the lanes $2 of transport $1: the oldest layout that drains has run dry when it holds no row of an ordered channel that the
 * lane lacks, and nothing taken whose end is not noted. Then the next one is opened, and parked lines, which have no row in the
 * outbox, go on to hold their keys there, with their dead letters. A layout that holds nothing at all is retired: its partitions are
 * closed, given up by those who hold them, and deleted when nobody does.
 *
 * To be run under the registration's lock, taken by a statement before it: since the change only a replay puts a row into an older
 * layout, and shares that lock. So what is dry by this one snapshot stays dry.
 */
export function advanceText(s: string): string {
  const lacks = `(l.consumer = '' or (
      (select true from ${s}.subscriptions u where u.consumer = l.consumer and u.channel = o.channel limit 1) is not null
      and (select true from ${s}.inbox n where n.consumer = l.consumer and n.message_id = o.id limit 1) is null))`
  const inRange = (partition: string, layout: string): string =>
    `${partition} >= ${layout}.first_partition and ${partition} < ${layout}.first_partition + ${layout}.partitions`
  const place = (row: string): string =>
    `n.first_partition + abs(hashtextextended(${row}.key, hashtextextended(${row}.channel, 0)) % n.partitions)::int`
  return `
with candidate as materialized (
  select l.* from ${s}.layouts l
  where l.transport = $1 and l.consumer = any($2::text[]) and (l.state = 'lingering'
    or l.state = 'draining' and not exists (select from ${s}.layouts o where o.transport = l.transport
      and o.consumer = l.consumer and o.state = 'draining' and o.generation < l.generation))),
looked as materialized (
  select l.*,
    exists (select from ${s}.outbox o where ${inRange('o.partition', 'l')} and ${lacks} and (
      select c.ordered from ${s}.channels c where c.channel = o.channel limit 1)) as has_ordered,
    exists (select from ${s}.outbox o where ${inRange('o.partition', 'l')} and ${lacks}) as has_any,
    exists (select from ${s}.taken t where t.consumer = l.consumer and ${inRange('t.partition', 'l')}) as has_taken
  from candidate l),
dry as materialized (
  select l.*, case when l.has_any then 'lingering' else 'retired' end as becomes from looked l
  where not l.has_taken and not l.has_ordered and (l.state = 'draining' or not l.has_any)),
next as materialized (
  select d.first_partition as old_first, d.partitions as old_partitions, n.* from dry d cross join lateral (
    select n.consumer, n.first_partition, n.partitions from ${s}.layouts n
    where n.transport = d.transport and n.consumer = d.consumer and n.generation > d.generation
      and n.state in ('draining', 'current') order by n.generation limit 1) n
  where d.state = 'draining'),
changed as (
  update ${s}.layouts l set state = d.becomes from dry d
  where l.transport = d.transport and l.consumer = d.consumer and l.generation = d.generation and l.state = d.state),
opened as (
  update ${s}.partitions p set is_open = coalesce(
    p.partition >= (select min(n.first_partition) from next n where n.consumer = p.consumer), false)
  from (
    select consumer, first_partition, partitions from next
    union all select consumer, first_partition, partitions from dry where becomes = 'retired') r
  where p.consumer = r.consumer and ${inRange('p.partition', 'r')}),
letter as (
  update ${s}.dead d set partition = ${place('d')} from next n
  where d.consumer = n.consumer and d.partition >= n.old_first and d.partition < n.old_first + n.old_partitions
    and exists (select from ${s}.blocked b where b.consumer = d.consumer and b.channel = d.channel and b.key = d.key
      and b.partition = d.partition and b.state = 'parked')),
line as (
  update ${s}.blocked b set partition = ${place('b')} from next n
  where b.consumer = n.consumer and b.partition >= n.old_first and b.partition < n.old_first + n.old_partitions
    and b.state = 'parked'),
orphan as (
  delete from ${s}.blocked b using dry d
  where d.becomes = 'retired' and b.consumer = d.consumer and ${inRange('b.partition', 'd')} and b.state <> 'parked')
delete from ${s}.partitions p
where p.transport = $1 and p.consumer = any($2::text[]) and not p.is_open
  and (p.owner is null or p.lease_until < clock_timestamp())
  and exists (select from ${s}.layouts l where l.transport = p.transport and l.consumer = p.consumer
    and l.state = 'retired' and ${inRange('p.partition', 'l')})`
}

/**
 * Partitions of layouts that consumer $2 has left for good and that still hold rows: for another consumer, or because this one's relay
 * died between the commit that noted them and their removal. What every subscriber has is swept from there.
 */
export function leftBehindText(s: string): string {
  return `
select array(
  select p from ${s}.layouts l cross join generate_series(l.first_partition, l.first_partition + l.partitions - 1) p
  where l.transport = $1 and l.consumer = $2 and l.state = 'retired'
    and exists (select from ${s}.layouts r where r.transport = l.transport and r.consumer = '' and r.generation = l.generation
      and r.state in ('draining', 'lingering'))
    and exists (select from ${s}.outbox o where o.partition = p)) as partitions`
}

/** Rows of older layouts by why they stand there; at most $2 of them are looked at, by the primary key. */
export function remainsText(s: string): string {
  return `
with old as (
  select distinct l.first_partition, l.partitions from ${s}.layouts l
  where l.transport = $1 and l.state in ('draining', 'lingering')),
row as materialized (
  select o.* from old l cross join lateral (
    select o.partition, o.seq, o.id, o.channel, o.key, o.not_before from ${s}.outbox o
    where o.partition >= l.first_partition and o.partition < l.first_partition + l.partitions limit $2::int) o
  limit $2::int),
kind as (select r.channel, ${kindText(s)} as kind from row r)
select k.channel, coalesce(c.ordered, false) as ordered, k.kind, count(*)::int as count,
  (select count(*) from row) >= $2::int as is_at_least
from kind k left join ${s}.channels c on c.channel = k.channel group by 1, 2, 3 order by 1, 3`
}

/** Blocked lines of ordered channels of a transport's lanes; at most $2 of them are looked at, by the primary key. */
export function blockedText(s: string): string {
  return `
with line as materialized (
  select b.channel, b.consumer from ${s}.partitions p
  join ${s}.blocked b on b.consumer = p.consumer and b.partition = p.partition
  join ${s}.channels c on c.channel = b.channel and c.ordered
  where p.transport = $1 and b.state = 'blocked' limit $2::int)
select channel, consumer, count(*)::int as count, (select count(*) from line) >= $2::int as is_at_least
from line group by 1, 2 order by 1, 2`
}

function literal(s: string): string {
  return s.replaceAll("'", "''")
}
