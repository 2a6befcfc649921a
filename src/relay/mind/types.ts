import type { Backoff } from '../../kernel/retry.ts'
import type { Random } from '../../kernel/clock.ts'
import type { PoisonPolicy, RelayForm } from '../../guarantees/plan.ts'
import type { LeasedPartition } from '../../ports/lane.ts'
import type {
  BlockedLine,
  DeadLetter,
  DeliveredRow,
  Follower,
  FoundRow,
  Loss,
  LostRow,
  NewsRequest,
  OutboxRow,
  ReadRequest,
  TakenRow,
} from '../../ports/outbox.ts'

export interface ChannelRules {
  /** How its rows are moved; where the transport is local, `confirm` is running the handlers. */
  readonly form: Exclude<RelayForm, 'handlers'>
  readonly ordered: boolean
  readonly maxAttempts: number
  readonly retry: Backoff
  /** What becomes of an ordered key whose head is given up; without order the message alone is: `skip`. @default 'skip' */
  readonly onPoison?: PoisonPolicy
  /** Older messages are not sent any more; by the database's clock. @default without end */
  readonly expiresAfterMs?: number
  /** Messages in one send of this channel, at most. @default {@link MindOptions.batchSize} */
  readonly batchSize?: number
  /** Bytes in one send of this channel, at most; one message larger than that still passes, alone. @default no limit */
  readonly batchBytes?: number
}

export interface MindOptions {
  /** The channels this lane serves, by name. */
  readonly channels: ReadonlyMap<string, ChannelRules>
  /** See `TransportCapabilities.ordersBatch`. */
  readonly ordersBatch: boolean
  /** Messages in one send, at most. */
  readonly batchSize: number
  /** Rows read above the floor of a partition in one read, at most. */
  readonly readLimit: number
  /** Rows above the floors that one read looks at, at most, where some are held by lines; each partition has an equal part. */
  readonly lookLimit: number
  /** Rows read below the floor of a partition in one read, at most. */
  readonly lateLimit: number
  /** Messages held in memory, at most. */
  readonly maxInFlight: number
  readonly maxInFlightBytes: number
  /** Rows of one key that may wait in memory; reading goes on past them. */
  readonly maxKeyBacklog: number
  /** Sends under way at once, at most. */
  readonly maxSends: number
  /** Of them, those of messages that have not failed before, at most. @default all */
  readonly maxFreshSends?: number
  /** Rows deleted by one statement, at most. */
  readonly removeLimit: number
  /** A send starts only if this fits into the lease (P11). */
  readonly sendTimeoutMs: number
  readonly poll: Backoff
  /** Pauses of a destination that fails for everyone. */
  readonly hold: Backoff
  readonly random: Random
}

/** A partition whose channels of form `fence` are left alone until an operator has looked. */
export interface StoppedFencing {
  readonly partition: number
  /** What does not fit, in a sentence. */
  readonly reason: string
}

/** A destination that fails for everyone: on hold, or probed with one message at a time. */
export interface FailingChannel {
  readonly channel: string
  /** Sends in a row that failed for everything in them. */
  readonly failures: number
  /** When its hold ends, on the clock that `decide` is given; `null` while it is probed. */
  readonly heldUntil: number | null
  /** What it failed with last. */
  readonly code: string
}

/** What the mind wants done. Each is answered once, by the event of the same number. */
export type Command =
  | { readonly type: 'read'; readonly read: number; readonly request: ReadRequest }
  /** Answered as a read is. */
  | { readonly type: 'readNews'; readonly read: number; readonly request: NewsRequest }
  | {
      readonly type: 'send'
      readonly send: number
      readonly channel: string
      readonly rows: readonly OutboxRow[]
    }
  | { readonly type: 'remove'; readonly remove: number; readonly rows: readonly FoundRow[] }
  | { readonly type: 'block'; readonly write: number; readonly lines: readonly BlockedLine[] }
  | { readonly type: 'bury'; readonly write: number; readonly letters: readonly DeadLetter[] }
  | { readonly type: 'move'; readonly write: number; readonly rows: readonly Follower[] }
  | { readonly type: 'lose'; readonly write: number; readonly rows: readonly LostRow[] }
  /** Form `take`. Also answered by `notReady`, where nothing was taken because no destination is there to send to. */
  | {
      readonly type: 'take'
      readonly take: number
      readonly channel: string
      readonly rows: readonly TakenRow[]
    }
  /** The one send of what this take has taken. */
  | {
      readonly type: 'dispatch'
      readonly take: number
      readonly channel: string
      readonly rows: readonly OutboxRow[]
      /** Of the lease under which each was taken. */
      readonly epochs: readonly bigint[]
    }
  | { readonly type: 'endTaken'; readonly take: number; readonly losses: readonly Loss[] }
  /** Form `fence`: makes this relay the partition's only writer at the broker. */
  | {
      readonly type: 'takeOver'
      readonly call: number
      readonly partition: LeasedPartition
      readonly timeoutMs: number
    }
  /** What the store knows of it. */
  | { readonly type: 'fencedState'; readonly call: number; readonly partition: LeasedPartition }
  /** One transaction of one partition; `number` is its note's. */
  | {
      readonly type: 'publishFenced'
      readonly call: number
      readonly partition: LeasedPartition
      readonly number: bigint
      readonly channel: string
      readonly rows: readonly OutboxRow[]
    }
  | {
      readonly type: 'removeFenced'
      readonly call: number
      readonly partition: LeasedPartition
      readonly note: { readonly number: bigint; readonly lineage: string }
      readonly rows: readonly DeliveredRow[]
    }
  /** Not answered. These are not ours any more, and nothing of them is under way at the broker. */
  | { readonly type: 'releaseFenced'; readonly partitions: readonly number[] }
  /** Not answered. What broker and store say of a partition does not fit: exactly-once stops there. */
  | { readonly type: 'fencingStopped'; readonly stopped: StoppedFencing }
  /** Not answered. Nothing of these partitions is under way any more. */
  | { readonly type: 'release'; readonly partitions: readonly LeasedPartition[] }
  /** Not answered. The database refused an effect of ours: another relay holds the partition. */
  | { readonly type: 'fenced'; readonly partitions: readonly LeasedPartition[] }

/** Running totals since the start, with what ends while a relay stops. */
export interface MindCounters {
  sent: number
  confirmed: number
  rejected: number
  unknown: number
  buried: number
  /** Keys that began to wait for an operator, their heads in the outbox. */
  blocked: number
  /** Moved beside the heads of parked keys. */
  followers: number
  /** Not sent any more, being too old. */
  expired: number
  /** At most once: rows taken, and of them those that were certainly or possibly not delivered. */
  taken: number
  lost: number
  lateRows: number
  /** Confirmed by the broker after the lease was lost; deleted all the same. */
  lateConfirms: number
  rewinds: number
  serverChanges: number
  /**
   * A row came below one of its key that waits: a writer bypassed the key lock, or after a take-over a row came again that the
   * last owner had sent and not yet deleted.
   */
  disorder: number
}
