import type { Lane } from '../../ports/lane.ts'
import { kept, type Keeping, returned } from './sent-statements.ts'

/**
 * On a consumer's lane: notes that this consumer has these rows, where others need them too. What its own transaction noted
 * already stays. In the order of the inbox's key, so that two relays wait for each other in one direction only.
 *
 * A row is held before it is noted: an operator who brings a message back for another consumer holds it FOR UPDATE while he looks
 * who has it, and that must not change before he is done. Rows that are noted already need no lock.
 */
export function noteText(s: string): string {
  return `
with held as materialized (
  select o.id from unnest($1::int[], $2::bigint[], $3::uuid[]) d(partition, seq, id)
  join ${s}.outbox o on o.partition = d.partition and o.seq = d.seq and o.id = d.id
  where exists (select from ${s}.subscriptions u where u.channel = o.channel and u.consumer <> $4)
    and (select true from ${s}.inbox n where n.consumer = $4 and n.message_id = o.id limit 1) is null
  order by o.partition, o.seq for key share of o)
insert into ${s}.inbox (consumer, message_id) select distinct $4::text, id from held order by 2 on conflict do nothing`
}

/**
 * Deletes rows by primary key and id, and their lines, also of rows that are gone already. Needs no epoch: what was delivered
 * is right to delete for anybody. Lines went, so what they held is eligible again: the counter rises in this same
 * statement, in the order of its key.
 *
 * Each row is looked up by its key in a lateral subquery with LIMIT, and deleted at the place where it was found: as a join the
 * planner turned it round into a walk over the whole key, dead rows included, as soon as the table looked small (P10). Rows are
 * never updated, so they stay where they are. On a consumer's lane they are locked first, in the order of their key: two consumers
 * that come to be the last of the same rows at once both delete them, and would deadlock if each went its own way. Elsewhere only
 * a zombie deletes the same ones, in the same order.
 *
 * A parked line stays: it belongs to the rows in dead. A zombie that hears of its head's delivery late has nothing to take away,
 * or the key's next message would overtake the followers.
 *
 * `known`: that this consumer has them was learned by a delivery, and holds whatever comes after. `noted`: by its inbox rows,
 * which an operator may have taken away since, with a replay; the row then stays for this consumer too.
 */
export function removeText(s: string, lane: Lane, keeps: Keeping, own: 'known' | 'noted' = 'known'): string {
  const ownHasIt =
    own === 'known'
      ? ''
      : `and (select true from ${s}.inbox n where n.consumer = $4 and n.message_id = o.id limit 1) is not null`
  const isDone = lane.consumer === '' ? '' : `and ${othersHaveIt(s)} ${ownHasIt}`
  const lock = lane.consumer === '' ? '' : 'for update'
  return `
with d as materialized (select * from unnest($1::int[], $2::bigint[], $3::uuid[]) d(partition, seq, id) order by 1, 2),
line as (
  delete from ${s}.blocked b using d
  where b.consumer = $4 and b.partition = d.partition and b.seq = d.seq and b.id = d.id and b.state <> 'parked'
  returning b.partition),
rewound as (${rewindText(s, 'line')}),
found as materialized (
  select f.place from d cross join lateral (
    select o.ctid as place from ${s}.outbox o
    where o.partition = d.partition and o.seq = d.seq and o.id = d.id ${isDone} limit 1 ${lock}) f),
gone as (
  delete from ${s}.outbox o where o.ctid = any(array(select place from found)) ${returned(keeps)})${kept(s, keeps)}
select count(*) as removed from gone`
}

/**
 * The same on a broker's lane of rows that a read has brought, at the places $5 where it found them: no search by key, which
 * takes a third of the work. A place names nothing: by now another row may be there, so all three names are compared, and the row
 * may be elsewhere, so what this does not find is left to the statement above. Deletes lock in the order of the table, as
 * those by key do.
 *
 * No join, which the planner might turn round: the names stand in a table of hashes, and the places in an array of unknown length, by
 * which the rows are fetched. The names are looked at for lines only where there is a line.
 */
export function removeFoundText(s: string, keeps: boolean): string {
  const deletion = `
delete from ${s}.outbox o where o.ctid = any(array(select place from d))
  and case when (o.partition, o.seq, o.id) in (select partition, seq, id from d) then true end`
  return `
with d as materialized (
  select * from unnest($1::int[], $2::bigint[], $3::uuid[], $5::tid[]) d(partition, seq, id, place)),
line as (
  delete from ${s}.blocked b using (select * from d order by partition, seq offset 0) d
  where (select true from ${s}.blocked b where b.consumer = $4 limit 1)
    and b.consumer = $4 and b.partition = d.partition and b.seq = d.seq and b.id = d.id and b.state <> 'parked'
  returning b.partition),
rewound as (${rewindText(s, 'line')})${
    keeps
      ? `,
gone as (${deletion} ${returned(keeps)})${kept(s, keeps)}
select count(*) as removed from gone`
      : deletion
  }`
}

/**
 * Takes the letters of rows back that an operator gave up while they were being sent: they have been delivered, and are no dead letters.
 * A skip's letters only. What another relay gave up let the key go on, or parked it; that stands. By the index on their id.
 */
export function withdrawText(s: string, keeps: boolean): string {
  return `
with gone as (
  delete from ${s}.dead o using unnest($1::int[], $2::bigint[], $3::uuid[]) d(partition, seq, id)
  where o.id = d.id and o.partition = d.partition and o.seq = d.seq and o.consumer = '' and o.reason = 'skipped'
  ${returned(keeps)})${kept(s, keeps)}
select count(*)::int as withdrawn from gone`
}

/** Of row `o`: no subscriber of its channel but consumer $4, who is known to have it, lacks it. */
function othersHaveIt(s: string): string {
  return `not exists (select from ${s}.subscriptions u where u.channel = o.channel and u.consumer <> $4
    and not exists (select from ${s}.inbox n where n.consumer = u.consumer and n.message_id = o.id))`
}

/** Raises the counters of the partitions in the CTE `lines`, for consumer $4. */
export function rewindText(s: string, lines: string): string {
  return `
  insert into ${s}.rewinds as r (consumer, partition, counter)
  select $4, partition, 1 from (select distinct partition from ${lines} order by 1) l
  on conflict (consumer, partition) do update set counter = r.counter + 1`
}

/**
 * Deletes at most $3 rows of the partitions $1 that every subscriber has, consumer $2 too: their last relay died between the
 * commit that noted them and their removal. Walks the primary key and looks into the inbox by its own: in subqueries with
 * LIMIT, which are not turned round into a walk over the rows for each line of the inbox (P10). A row that is locked is being
 * deleted by another consumer's relay, so it is passed by: the sweep waits for nobody and deadlocks with nobody.
 */
export function sweepText(s: string, keeps: boolean): string {
  return `
with gone as (delete from ${s}.outbox o where ctid = any(array(
  select o.ctid from ${s}.outbox o where o.partition = any($1::int[])
    and (select true from ${s}.inbox n where n.consumer = $2 and n.message_id = o.id limit 1) is not null
    and (select true from ${s}.subscriptions u where u.channel = o.channel
      and (select true from ${s}.inbox n where n.consumer = u.consumer and n.message_id = o.id limit 1) is null limit 1) is null
  limit $3::int for update of o skip locked)) ${returned(keeps)})${kept(s, keeps)}
select count(*)::int as deleted from gone`
}
