import type { Loss } from '../../ports/outbox.ts'

/**
 * Adds the rows of the CTE `lost` (channel, consumer, cause, id, code, place) to the counts, in the order of their key: two
 * that add at once wait for each other in one direction only.
 */
export function addLossesText(s: string, lost: string): string {
  return `
insert into ${s}.losses as l (channel, consumer, cause, count, last_id, last_code)
select channel, consumer, cause, count(*), (array_agg(id order by place desc))[1], (array_agg(code order by place desc))[1]
from ${lost} group by channel, consumer, cause order by channel, consumer, cause
on conflict (channel, consumer, cause) do update set count = l.count + excluded.count, last_id = excluded.last_id,
  last_code = excluded.last_code, last_at = excluded.last_at`
}

export function countLossesText(s: string): string {
  return `
with lost as (
  select u.channel, $1::text as consumer, u.cause, u.id, u.code, u.place
  from unnest($2::text[], $3::text[], $4::uuid[], $5::text[]) with ordinality u(channel, cause, id, code, place))
${addLossesText(s, 'lost')}`
}

/** As the statements take them: channels, causes, ids, codes. */
export function lossColumns(losses: readonly Loss[]): unknown[] {
  return [
    losses.map((loss) => loss.channel),
    losses.map((loss) => loss.cause),
    losses.map((loss) => loss.id),
    losses.map((loss) => loss.code),
  ]
}
