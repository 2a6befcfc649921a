import type { Inbox } from '../../ports/inbox.ts'
import type { Connection } from './connection.ts'
import { cleanupLock } from './sent-days.ts'

/** Waiting rows of a partition that are looked at one by one; where there are more, their age decides for all. */
const mostWaiting = 1000

/** Batches in a row in which nothing may go: with a short retention what was put off is old again soon. */
const mostLooks = 100

/**
 * Deletes old rows of inbox and attempts in bounded batches, each a statement of its own. On a connection apart from the
 * handlers' (G1); planned anew each time, for it is rare and its tables change a lot between two runs.
 */
export function createPurge(connection: Connection, s: string): Inbox['purge'] {
  const inbox = purgeText(s, 'inbox', 'processed_at')
  const attempts = purgeText(s, 'attempts', 'counted_at')

  /** What a batch found and must keep, it has put off: the next one looks further, until something goes or nothing is left. */
  async function purge(text: string, olderThanMs: number, limit: number): Promise<Batch> {
    for (let look = 0; look < mostLooks; look++) {
      const [row] = await connection.query<Batch>(
        { text, values: [olderThanMs, limit] },
        'delete what is past its retention',
      )
      if (row!.deleted > 0 || row!.seen < limit) return row!
    }
    return { seen: 0, deleted: 0 }
  }

  return async (olderThanMs, limit) => {
    // All of them: it is the rows of the inbox that the caller is told of, and those may be at their end before.
    let last: Batch
    do last = await purge(attempts, olderThanMs, limit)
    while (last.deleted > 0 && last.seen === limit)
    return (await purge(inbox, olderThanMs, limit)).deleted
  }
}

interface Batch {
  /** Rows that are old enough, up to the limit. */
  readonly seen: number
  readonly deleted: number
}

/**
 * Looks at the $2 oldest rows that are older than $1 milliseconds, by the index on their time. Those that are still needed get
 * the time of now, so that they stand in no later batch's way; the others go. What is locked is passed by.
 *
 * A row is needed while its message waits in the outbox, has a line, or is a dead letter of that consumer (G2). The outbox has
 * no index by id. But a message waits longer than it was handled, so only rows older than the cutoff matter, and rows by number
 * are rows by time, but for a moment (`slack`): they stand at the low end of each partition, up to the first one that is
 * younger. Usually there are none. Where there are too many of a partition to look at, all that was handled since the oldest
 * of them stays. Delayed rows have never been delivered.
 *
 * Only the one who gets the lock sees a cutoff, so for another no row is old. IS NOT DISTINCT FROM fits no index: a line is
 * looked for by its id, and not among all of the consumer's, which looks the same while the table is empty (P10).
 */
export function purgeText(s: string, table: string, time: string): string {
  const run = `
with run as materialized (
  select clock_timestamp() - $1::float8 * interval '1 millisecond' as cutoff
  where pg_try_advisory_xact_lock(${cleanupLock(s)})),`
  return `${run}${oldText(s, table, time)}
  order by n.${time} limit $2::int for update skip locked),
kept as (
  update ${s}.${table} set ${time} = clock_timestamp() where ctid = any(array(select place from old where is_needed))),
gone as (
  delete from ${s}.${table} where ctid = any(array(select place from old where not is_needed)) returning 1)
select (select count(*) from old)::int as seen, (select count(*) from gone)::int as deleted`
}

/** How many of the $2 oldest that are older than $1 milliseconds would go, by the same rules. */
export function purgeCountText(s: string, table: string, time: string): string {
  return `
with run as materialized (select clock_timestamp() - $1::float8 * interval '1 millisecond' as cutoff),${oldText(s, table, time)}
  order by n.${time} limit $2::int)
select count(*)::int as count from old where not is_needed`
}

/** From the cutoff in the CTE `run` to the CTE `old`, whose last clauses follow. */
function oldText(s: string, table: string, time: string): string {
  const slack = `interval '1 hour'`
  const isDue = '(o.not_before is null or o.not_before <= now())'
  return `
place as materialized (
  select p.partition, r.cutoff, (
    select y.seq from (
      select o.seq, o.created_at from ${s}.outbox o where o.partition = p.partition and ${isDue}
      order by o.seq limit ${mostWaiting}) y
    where y.created_at > r.cutoff + ${slack} order by y.seq limit 1) as young
  from run r cross join (select distinct partition from ${s}.partitions) p),
waiting as materialized (
  select w.partition, w.id, w.created_at from place p cross join lateral (
    select o.partition, o.id, o.created_at from ${s}.outbox o
    where o.partition = p.partition and o.seq < coalesce(p.young, 9223372036854775807) and ${isDue}
    order by o.seq limit ${mostWaiting}) w),
full_ones as (
  select min(created_at) - ${slack} as since from waiting group by partition having count(*) = ${mostWaiting}),
old as materialized (
  select n.ctid as place, n.message_id in (select id from waiting)
    or (select true from ${s}.blocked b where b.id = n.message_id and b.consumer is not distinct from n.consumer limit 1) is not null
    or (select true from ${s}.dead d where d.id = n.message_id and d.consumer = n.consumer limit 1) is not null as is_needed
  from ${s}.${table} n
  where n.${time} < (select least(r.cutoff, (select min(since) from full_ones)) from run r)`
}
