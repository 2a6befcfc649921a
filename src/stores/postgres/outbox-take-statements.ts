import type { Lane } from '../../ports/lane.ts'
import { checked, outcomes } from './outbox-line-statements.ts'
import { addLossesText } from './loss-statements.ts'
import { rewindText } from './outbox-remove-statements.ts'

/**
 * At most once: the rows go before they are sent, with their lines, and a line in `taken` names them, all in one statement. The
 * epoch is checked as for lines: a claim either sees what this wrote, or ends the epoch before it writes anything.
 *
 * On a consumer's lane a row that others need too stays for them, and the consumer's inbox row is what takes it: of two that
 * insert it one is told `gone`. Which of the two ways it went need not be agreed on with another take, for only one
 * owner at a time can get an answer. Deleting what stays is for a later statement, which sees the others' inbox rows.
 */
export function takeText(s: string, lane: Lane): string {
  const isShared = lane.consumer !== ''
  const mine = isShared
    ? `
shared as materialized (
  select distinct u.channel from ${s}.subscriptions u
  where u.consumer <> $4 and u.channel in (select channel from locked)),
noted as (
  insert into ${s}.inbox (consumer, message_id)
  select distinct $4::text, k.id from locked k where k.channel in (select channel from shared) order by 2
  on conflict do nothing returning message_id as id),
gone as (
  delete from ${s}.outbox o where o.ctid = any(array(
    select k.place from locked k where k.channel not in (select channel from shared)))
  returning o.partition, o.seq, o.id, o.channel),
mine as (
  select k.partition, k.seq, k.id, k.channel, true as is_shared from locked k join noted using (id)
  union all select g.*, false from gone g)`
    : `
mine as (
  delete from ${s}.outbox o where o.ctid = any(array(select k.place from locked k))
  returning o.partition, o.seq, o.id, o.channel)`
  return `
with d as materialized (
  select * from unnest($1::int[], $2::bigint[], $3::uuid[], $5::bigint[]) with ordinality
    d(partition, seq, id, epoch, place)),
${checked(s, lane, 'update')},
${mine},
line as (
  delete from ${s}.blocked b using mine m
  where b.consumer = $4 and b.partition = m.partition and b.seq = m.seq and b.id = m.id returning b.partition),
rewound as (${rewindText(s, 'line')}),
named as (
  insert into ${s}.taken (batch, partition, channel, consumer, epoch, ids)
  select $6::uuid, m.partition, m.channel, $4, h.epoch, array_agg(m.id order by m.seq)
  from mine m join held h using (partition) group by m.partition, m.channel, h.epoch order by 2, 3)
${outcomes('mine', 'taken', isShared ? ', w.is_shared' : '')}`
}

/**
 * The lines of a batch go, and only of what they named losses are counted: where a claim has counted them already, or this is
 * said a second time, there is no line any more. Lines are locked in the order of their key, against that claim.
 */
export function endTakenText(s: string): string {
  return `
with line as materialized (
  select t.batch, t.partition, t.channel, t.ids from ${s}.taken t where t.batch = $1
  order by t.partition, t.channel for update),
gone as (
  delete from ${s}.taken t using line l
  where t.batch = l.batch and t.partition = l.partition and t.channel = l.channel),
lost as (
  select u.channel, $2::text as consumer, u.cause, u.id, u.code, u.place
  from unnest($3::text[], $4::text[], $5::uuid[], $6::text[]) with ordinality u(channel, cause, id, code, place)
  where exists (select from line l where u.id = any(l.ids)))
${addLossesText(s, 'lost')}`
}

/**
 * Counts what earlier epochs of the partitions $1, now held under $2, have taken and not ended. To be run after the claim has
 * committed: the epochs below can take nothing any more, so its snapshot shows all there will be.
 */
export function countEndedText(s: string): string {
  return `
with line as materialized (
  select t.batch, t.partition, t.channel, t.ids from ${s}.taken t
  join unnest($1::int[], $2::bigint[]) h(partition, epoch) on t.partition = h.partition and t.epoch < h.epoch
  where t.consumer = $3 order by t.batch, t.partition, t.channel for update of t),
gone as (
  delete from ${s}.taken t using line l
  where t.batch = l.batch and t.partition = l.partition and t.channel = l.channel),
lost as (
  select l.channel, $3::text as consumer, 'process-ended' as cause, u.id, null as code, u.place
  from line l, unnest(l.ids) with ordinality u(id, place))
${addLossesText(s, 'lost')}`
}
