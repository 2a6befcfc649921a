import type { Envelope } from '../kernel/message.ts'
import type { LeasedPartition } from './lane.ts'

/** What names a row. All three, always: after a restore or a fail-over numbers come back for other rows. */
export interface RowRef {
  readonly partition: number
  readonly seq: bigint
  readonly id: string
}

/** A row that the transport has confirmed. */
export interface DeliveredRow extends RowRef {
  /** As it was read; absent where only the row's names are known. */
  readonly attempts?: number
}

/**
 * How a read came by a row: `upper` above the floor · `late` below it, committed since the last snapshot · `delayed` below
 * it, because its time has come · `retry` because its `blocked` line is due.
 */
export type RowOrigin = 'upper' | 'late' | 'delayed' | 'retry'

/** A row that a read has brought. */
export interface FoundRow extends RowRef {
  /**
   * Where the store found it: the store's own, handed back with `remove` to spare it the search. It names nothing: by then another row
   * may be there, or this one elsewhere.
   */
  readonly place?: number
}

export interface OutboxRow extends Envelope, FoundRow {
  readonly origin: RowOrigin
  /** When it was published or, where it was delayed, when that ended: by the database's clock. Its age begins then. */
  readonly dueAt: Date
  /** Failed attempts so far, from its `blocked` line; 0 where it has none. */
  readonly attempts: number
  /** Its key is parked: it is not to be sent, but to be moved beside the head. */
  readonly isParked: boolean
}

/**
 * A database's view of which transactions are over (PostgreSQL: `pg_current_snapshot()`). `open` are those below `xmax` that
 * are still running or prepared; everything at or above `xmax` is not over either. Stores whose numbers commit in order
 * answer with `xmax` 0 and nothing open.
 */
export interface Snapshot {
  readonly xmax: bigint
  readonly open: readonly bigint[]
}

/**
 * How far the delayed rows of a partition have been read, by the time they were to wait for and their number. The store's
 * own: a reader hands back what it was given.
 */
export type Mark = string

export interface PartitionRequest {
  readonly partition: number
  /** Rows above it are read. */
  readonly floor: bigint
  /** Rows below the floor whose time has come since are read. `null` reads none of them: the floor is 0 then. */
  readonly mark: Mark | null
}

export interface ReadRequest {
  /** All partitions held. */
  readonly partitions: readonly PartitionRequest[]
  /** The snapshot of the last read that was applied, or `null` for the first (all floors are 0 then). */
  readonly last: Snapshot | null
  /** Rows above the floor, and of delayed rows below it, at most, for each partition. 0 reads none of them. */
  readonly upperLimit: number
  /**
   * Of each partition that many rows above the floor have to be looked at, whatever becomes of them; a store may stop there. One that
   * walked over all that lines hold, a hundred thousand rows perhaps, would not answer in time.
   */
  readonly lookLimit: number
  /** Rows below the floor, at most, for each partition, lowest first. */
  readonly lateLimit: number
  /** Due retries, at most, over all partitions, the longest due first. */
  readonly retryLimit: number
  /**
   * Payload bytes for each partition, of its rows above the floor, of those below it and of delayed ones each; of all due retries as much as
   * of all partitions. A row behind others that have more than this may be left out, and then what follows it too.
   */
  readonly partitionBytes: number
  /** Only rows of these channels are returned; what has no route here stays where it is (P15). */
  readonly channels: readonly string[]
  /**
   * Due retries of these channels are left out in these partitions, as nothing of theirs can be sent: no floor passes a retry, so they would
   * come with every read, and take the place of others. @default none
   */
  readonly withoutRetries?: {
    readonly partitions: readonly number[]
    readonly channels: readonly string[]
  }
}

/** For a relay that has everything that was committed and eligible in `last`. */
export interface NewsRequest extends Pick<ReadRequest, 'partitions' | 'channels'> {
  readonly last: Snapshot
  /** Rows, at most, over all partitions. */
  readonly limit: number
  /** Payload bytes of all rows together. */
  readonly bytes: number
}

export interface ReadResult {
  readonly snapshot: Snapshot
  /** Changes when it is another server or the same one started anew (address and start time). */
  readonly server: string
  /** The database's own clock while it read, in milliseconds since 1970: what ages are reckoned by, never this process's clock. */
  readonly serverTimeMs: number
  readonly inRecovery: boolean
  /** Whether any message of the lane's consumer has a `blocked` line, in whatever partition. */
  readonly hasLines: boolean
  /** The rewind counter of each partition asked for, as this read saw it. */
  readonly rewinds: ReadonlyMap<number, bigint>
  /** Up to where each partition that has a row above its floor was looked at: its highest row, eligible or not, unless it is `unseen`. */
  readonly tops: ReadonlyMap<number, bigint>
  /** Partitions with rows above their top: `lookLimit` was reached. */
  readonly unseen: ReadonlySet<number>
  /** Of each partition asked for: where its delayed rows are to be read on from, once this read is applied. */
  readonly marks: ReadonlyMap<number, Mark>
  /**
   * When the next row below or above the floors ends its delay, in milliseconds from this read by the database's clock; `null`
   * where none does within the hour.
   */
  readonly nextDueInMs: number | null
  /** By partition: late ones first, then upper ones, each in order of `seq`; delayed ones and retries last. */
  readonly rows: readonly OutboxRow[]
  /**
   * Due lines whose row needs nothing any more (a consumer's own transaction settled it and the process died before the
   * line went): to be handed to `remove`, which takes the line away and opens the key.
   */
  readonly orphans: readonly RowRef[]
}

/** A failing message to be written beside the outbox. */
export interface BlockedLine extends RowRef {
  readonly channel: string
  /** On an ordered channel the line holds the whole key; `null` holds this row only. */
  readonly key: string | null
  readonly epoch: bigint
  /** Failed attempts, this one included. */
  readonly attempts: number
  /** When it may be tried again, counted from now by the database's clock; `null`: when an operator says so. */
  readonly retryInMs: number | null
  /** This attempt ended with an unknown outcome; the line remembers it of all its attempts. @default false */
  readonly isInDoubt?: boolean
  readonly errorCode: string
  readonly error: string
}

/** A message that is given up. */
export interface DeadLetter extends RowRef {
  readonly channel: string
  readonly epoch: bigint
  readonly attempts: number
  /** Its key waits with it: the line stays, or is made, and what stands behind is to be moved beside it. @default false */
  readonly parks?: boolean
  readonly reason: 'attempts-exhausted' | 'rejected' | 'unreadable'
  readonly errorCode: string
  readonly error: string
}

/** `written` · `gone`: the row is not there (delivered or moved by another) · `fenced`: the epoch no longer holds. */
export type LineOutcome = 'written' | 'gone' | 'fenced'

/** A row that stands behind a parked head. */
export interface Follower extends RowRef {
  readonly epoch: bigint
  readonly channel: string
  readonly key: string
}

/** `unparked`: no line parks the key any more, and the row was left where it is. */
export type FollowerOutcome = LineOutcome | 'unparked'

/** A row that is not to be sent any more: too old, or back in the outbox after its one send. */
export interface LostRow extends RowRef {
  readonly channel: string
  readonly epoch: bigint
  /** Where a line says that its fate was unknown once, `expired` counts as `expired-in-doubt`. */
  readonly cause: LossCause
  /** What the transport said of its send; `null` where it has not been sent. */
  readonly code: string | null
}

/** A row to be taken for its one send. */
export interface TakenRow extends RowRef {
  readonly channel: string
  readonly epoch: bigint
}

/** `taken`: it is ours and nobody will see it again · `gone` · `fenced`: as with lines. */
export type TakeOutcome = 'taken' | 'gone' | 'fenced'

/**
 * Why a message was lost. Of an at-most-once channel: `process-ended`: possibly, for its owner died between take and end ·
 * `not-begun`: settled, and then its stream was taken away or its consumer stopped before its handler began · `unanswered`:
 * possibly, for the broker did not say whether it settled it, and hands it over again where it did not, or the database whether its
 * handler's work is committed. Of any channel: `expired`,
 * older than its channel allows and so not sent any more · `expired-in-doubt`, the same of one that was sent before with an
 * unknown outcome.
 */
export type LossCause =
  | 'process-ended'
  | 'not-sent'
  | 'handler-failed'
  | 'not-begun'
  | 'unanswered'
  | 'expired'
  | 'expired-in-doubt'

export interface Loss {
  readonly channel: string
  readonly id: string
  readonly cause: LossCause
  readonly code: string
}

/** What is known in the store of a partition's fenced transactions. */
export interface FencedState {
  /** Number of the last transaction whose rows were deleted; 0 where there was none. */
  readonly number: bigint
  /** Where its note was written; `null` where there was none. */
  readonly lineage: string | null
}

/**
 * The hands of a relay: one lane of the outbox. Every method is one statement or one short transaction with a time-out of
 * its own; a throw means the effect is unknown and the call may be made again.
 *
 * `read` calls are strictly one after another; the others may run beside them and each other.
 */
export interface Outbox {
  /**
   * Rows of the held partitions that are committed and eligible: above the floor, or below it and committed since `last`
   * (PROTOCOLS 4), or below it and due since `mark`, the longest due first. Rows held by a `blocked` line are left out, except those
   * whose own line is due and those of parked keys, which are marked. All parts, the counters
   * and the snapshot returned are of one snapshot. In recovery it returns no rows.
   */
  read(request: ReadRequest): Promise<ReadResult>
  /**
   * The same where nothing but what has committed since `last` can be new, which is quicker to tell: those rows, wherever the floors are, and
   * the marks as they were handed in. `null`: only `read` can tell what is there, because rows were more than `limit`, or may have
   * more than `bytes`, there are lines, the server recovers, or its clock stands before a mark.
   */
  readNews(request: NewsRequest): Promise<ReadResult | null>
  /**
   * Deletes rows the transport has confirmed, together with their `blocked` lines unless parked (also where the row itself is gone
   * already); where a line went, the partition's rewind counter is raised in the same statement. Needs no epoch: it is right whoever does it. A row whose three names do not
   * match is left alone. On a consumer's lane a row is deleted only once every subscribed consumer has it. Where an operator has given a
   * row up while it was being sent ({@link Keys.skip}), its dead letter goes.
   */
  remove(rows: readonly FoundRow[]): Promise<{ readonly removed: number }>
  /** Writes or renews `blocked` lines, one outcome for each, in order. Checks the epoch and locks the row first. */
  block(lines: readonly BlockedLine[]): Promise<readonly LineOutcome[]>
  /**
   * Moves rows into the dead letters, one outcome for each, in order: copy, delete of row and line, raise of the rewind
   * counter in one statement (O5). Checks the epoch and locks the row first.
   */
  bury(letters: readonly DeadLetter[]): Promise<readonly LineOutcome[]>
  /**
   * Moves rows of parked keys into the dead letters, one outcome for each, in order. Locks the lines first, then looks again and
   * moves in a later statement of the same transaction. Checks the epoch.
   */
  moveFollowers(rows: readonly Follower[]): Promise<readonly FollowerOutcome[]>
  /**
   * Deletes rows that are not to be sent any more, with their lines, and counts each in `losses` in the same statement; the counter
   * rises where a line went. One outcome for each, in order. Checks the epoch and locks the row first.
   */
  lose(rows: readonly LostRow[]): Promise<readonly LineOutcome[]>
  /**
   * At most once: deletes rows with a line in `taken` that names them, in one statement that is durable when it resolves
   * (`synchronous_commit` on, whatever the session says). On a consumer's lane it notes them for the consumer, and deletes those
   * that no other subscriber lacks. One outcome for each row, in order. `batch` is a UUID, new for each call. Checks the epoch.
   */
  take(batch: string, rows: readonly TakenRow[]): Promise<readonly TakeOutcome[]>
  /**
   * What was taken under `batch` has ended: its line goes, and what was lost is added to `losses` in the same statement. What
   * nobody ended is counted as `process-ended` when the partition is claimed next.
   */
  endTaken(batch: string, losses: readonly Loss[]): Promise<void>
  /** By partition, of those asked for. */
  fencedStates(partitions: readonly number[]): Promise<ReadonlyMap<number, FencedState>>
  /**
   * Deletes the rows of one committed fenced transaction, their lines too, or the dead letters that an operator made of them
   * meanwhile, and notes its number and lineage, in one durable transaction. `false`: the epoch no longer holds, and nothing was written.
   */
  removeFenced(
    partition: LeasedPartition,
    note: { readonly number: bigint; readonly lineage: string },
    rows: readonly DeliveredRow[],
  ): Promise<boolean>
  close(): Promise<void>
}
