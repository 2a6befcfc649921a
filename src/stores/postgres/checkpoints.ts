import { WaybillError } from '../../kernel/errors.ts'
import type { Checkpoints } from '../../ports/checkpoints.ts'
import type { Connection } from './connection.ts'
import { named, type Suited, unprepared } from './statement.ts'

interface CheckpointRow {
  readonly stream: string
  readonly lineage: string
  readonly position: string
}

/** Positions of consumers. They move on the executor of the handlers' transaction; looking is on a connection of the store's own. */
export function createCheckpoints(connection: Connection, s: string, suited: Suited): Checkpoints {
  const look = named('checkpoints', findText(s))
  // Planned anew each time, as all that runs on a caller's connection and is not an insert (P10).
  const advance = unprepared(advanceText(s))
  return {
    async find(consumer, streams) {
      const values = [consumer, streams.map((each) => each.stream)]
      const rows = await connection.query<CheckpointRow>({ ...look, values }, 'read checkpoints')
      const found = new Map(rows.map((row) => [row.stream, row]))
      for (const { stream, lineage } of streams) {
        const kept = found.get(stream)?.lineage ?? lineage
        if (kept !== lineage) throw mismatch(s, consumer, { stream, lineage, kept })
      }
      return new Map(rows.map(({ stream, position }) => [stream, BigInt(position)]))
    },
    async advance(transaction, consumer, moves) {
      if (moves.length === 0) return true
      const [row] = await suited(transaction).execute(advance, [
        consumer,
        moves.map((move) => move.stream),
        moves.map((move) => move.lineage),
        moves.map((move) => move.from?.toString() ?? null),
        moves.map((move) => move.to.toString()),
      ])
      return row!['moved'] === moves.length
    },
  }
}

function mismatch(
  s: string,
  consumer: string,
  { stream, lineage, kept }: { readonly stream: string; readonly lineage: string; readonly kept: string },
): WaybillError {
  return new WaybillError(
    'WB_CHECKPOINT_MISMATCH',
    `Consumer "${consumer}" has a checkpoint on stream "${stream}" of log "${kept}", and the stream is of log "${lineage}" now: ` +
      'it was made anew, or this is another cluster, and the old position means nothing there. Find out what of the new log ' +
      `has been handled; then delete the row of this consumer and stream from ${s}.checkpoints to start where the broker says, ` +
      'or set its lineage and next_position to where it shall start.',
  )
}

function findText(s: string): string {
  return `
select c.stream, c.lineage, c.next_position as position from ${s}.checkpoints c
where c.consumer = $1 and c.stream = any($2::text[])`
}

/**
 * Locks what is there in the order of the streams, so that of two batches one waits for the other's end and then sees what it
 * wrote; compares and moves; and inserts what was not there, again in order. The second inserter waits for the first, and
 * then skips what that committed.
 */
function advanceText(s: string): string {
  return `
with m as materialized (
  select * from unnest($2::text[], $3::text[], $4::bigint[], $5::bigint[]) m(stream, lineage, origin, target)),
locked as materialized (
  select c.stream from ${s}.checkpoints c join m using (stream) where c.consumer = $1 order by c.stream for update of c),
moved as (
  update ${s}.checkpoints c set next_position = m.target, updated_at = clock_timestamp()
  from m join locked k using (stream)
  where c.consumer = $1 and c.stream = m.stream and c.lineage = m.lineage and c.next_position = m.origin returning 1),
made as (
  insert into ${s}.checkpoints (consumer, stream, lineage, next_position)
  select $1, m.stream, m.lineage, m.target from m, (select count(*) as rows from locked) k
  where m.origin is null and k.rows >= 0 order by m.stream on conflict do nothing returning 1)
select (select count(*) from moved)::int + (select count(*) from made)::int as moved`
}
