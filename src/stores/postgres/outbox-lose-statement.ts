import type { Lane } from '../../ports/lane.ts'
import { addLossesText } from './loss-statements.ts'
import { checked, ending, outcomes, ownLine } from './outbox-line-statements.ts'
import { rewindText } from './outbox-remove-statements.ts'

/**
 * Rows that are not to be sent any more go with their lines, and are counted in the statement that takes them out of the lane: of
 * two that try, one counts. What has expired and its fate was unknown once, to this process or by its line, is counted apart.
 */
export function loseText(s: string, lane: Lane): string {
  const { lock, ended } = ending(s, lane)
  return `
with d as materialized (
  select * from unnest($1::int[], $2::bigint[], $3::uuid[], $5::bigint[], $6::text[], $7::text[]) with ordinality
    d(partition, seq, id, epoch, cause, code, place)),
${checked(s, lane, lock)},
${ended},
mine as materialized (
  select o.partition, o.seq, o.id, o.channel, d.place, d.code,
    case when d.cause = 'expired' and b.in_doubt then 'expired-in-doubt' else d.cause end as cause
  from d join locked o using (partition, seq, id) join ended e using (id) ${ownLine(s)}),
line as (
  delete from ${s}.blocked b using locked o
  where b.consumer = $4 and b.partition = o.partition and b.seq = o.seq and b.id = o.id returning b.partition),
rewound as (${rewindText(s, 'line')}),
lost as (select channel, $4::text as consumer, cause, id, code, place from mine),
losses as (${addLossesText(s, 'lost')})
${outcomes('mine', 'written')}`
}
