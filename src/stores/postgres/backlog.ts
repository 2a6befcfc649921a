import type { Backlog, BacklogPart } from '../../ports/backlog.ts'
import type { Connection } from './connection.ts'

/** Rows that are looked at, at most. */
export const mostLooked = 10_000

export function createBacklog(connection: Connection, s: string): Backlog {
  return {
    async mark(transport) {
      const query = { text: markText(s), values: [transport] }
      const [row] = await connection.query<{ mark: string }>(query, 'look at the outbox')
      return BigInt(row!.mark)
    },
    async look(transport, channels, mark) {
      const query = { text: backlogText(s), values: [transport, channels, mark.toString(), mostLooked] }
      return partsOf(await connection.query<PartRow>(query, 'look at the outbox'))
    },
    async lookBeside(transport, channels, mark) {
      const query = { text: besideText(s), values: [transport, channels, mark.toString(), mostLooked] }
      return partsOf(await connection.query<BesideRow>(query, 'look at the outbox'))
    },
  }
}

export type PartRow = Omit<BacklogPart, 'isAtLeast'> & { readonly is_at_least: boolean }
type BesideRow = Omit<PartRow, 'kind'>

export function partsOf<Row extends BesideRow>(
  rows: readonly Row[],
): (Omit<Row, 'is_at_least'> & { readonly isAtLeast: boolean })[] {
  return rows.map(({ is_at_least: isAtLeast, ...row }) => ({ ...row, isAtLeast }))
}

/** The highest number of each partition, by the primary key. */
function markText(s: string): string {
  return `
select coalesce(max(o.seq), 0)::text as mark from ${s}.partitions p cross join lateral (
  select o.seq from ${s}.outbox o where o.partition = p.partition order by o.seq desc limit 1) o
where p.transport = $1 and p.consumer = ''`
}

function backlogText(s: string): string {
  return `
with row as materialized (
  select o.* from ${s}.partitions p cross join lateral (
    select o.partition, o.seq, o.id, o.channel, o.key, o.not_before from ${s}.outbox o
    where o.partition = p.partition and o.seq <= $3::bigint and o.channel = any($2::text[])
    order by o.seq limit $4::int) o
  where p.transport = $1 and p.consumer = '' limit $4::int),
kind as (select r.channel, ${kindText(s)} as kind from row r)
select k.channel, k.kind, count(*)::int as count, (select count(*) from row) >= $4::int as is_at_least
from kind k group by 1, 2 order by 1, 2`
}

/** The limit comes before the filter, so that it bounds the walk of the primary key whatever the channels of the rows are. */
function besideText(s: string): string {
  return `
with row as materialized (
  select o.channel from ${s}.partitions p cross join lateral (
    select o.channel from ${s}.outbox o where o.partition = p.partition and o.seq <= $3::bigint
    order by o.seq limit $4::int) o
  where p.transport = $1 and p.consumer = '' limit $4::int)
select r.channel, count(*)::int as count, (select count(*) from row) >= $4::int as is_at_least
from row r where r.channel <> all($2::text[]) group by 1 order by 1`
}

/**
 * Why row \`r\` stands where it does, by its own line and its key's, each looked up by its index. A line that is due, and what stands
 * behind a parked one, wait for a relay like all else.
 */
export function kindText(s: string): string {
  const holds = (own: string): string => `
    select case when b.state = 'blocked' then 'blocked' when b.state = 'retrying' and b.retry_at > clock_timestamp()
      then 'retrying' end as kind from ${s}.blocked b where ${own}`
  return `coalesce((
  select min(l.kind) from (${holds('b.partition = r.partition and b.seq = r.seq and b.id = r.id')}
    union all ${holds('b.channel = r.channel and b.key = r.key and b.partition = r.partition')}) l),
  case when r.not_before > clock_timestamp() then 'delayed' else 'waiting' end)`
}
