import type { Gauge } from '../../ports/gauge.ts'
import type { Connections } from './connections.ts'

/** A count that takes longer is of no use to publishers, and a burden to the database. */
const timeoutMs = 1000

/**
 * Walks the primary key of each partition that has rows, found by hopping from one to the next, and ends as soon as there are $2 of
 * channel $1. It is as long as the backlog of what shares the partitions, which its time-out bounds. Every look stands in a
 * lateral or scalar subquery with LIMIT, so that statistics of a table that was empty a minute ago turn nothing round (P10).
 */
export function countText(s: string): string {
  return `
with recursive place as (
  (select partition from ${s}.outbox order by partition limit 1)
  union all
  select (select o.partition from ${s}.outbox o where o.partition > p.partition order by o.partition limit 1)
  from place p where p.partition is not null)
select count(*)::int as pending from (
  select from place p cross join lateral (
    select from ${s}.outbox o
    where o.partition = p.partition and o.channel = $1 and (o.not_before is null or o.not_before <= now())
    order by o.seq limit $2::int) o
  limit $2::int) counted`
}

export function openGauge(connections: Connections, schema: string): Gauge {
  const connection = connections.open('gauge', { timeoutMs })
  const text = countText(schema)
  return {
    async count(channel, most) {
      const query = { text, values: [channel, most] }
      const [row] = await connection.query<{ pending: number }>(
        query,
        `count what waits of channel "${channel}"`,
      )
      return row!.pending
    },
    close: () => connections.close(connection),
  }
}
