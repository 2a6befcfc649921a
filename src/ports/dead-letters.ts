import type { Envelope } from '../kernel/message.ts'

/**
 * Why a message is a dead letter. `attempts-exhausted` · `rejected`: it can never succeed · `unreadable`: nobody here can read it ·
 * `follower`: it stood behind a head whose key was parked · `skipped`: an operator gave it up.
 */
export const deadReasons = ['attempts-exhausted', 'rejected', 'unreadable', 'follower', 'skipped'] as const
export type DeadReason = (typeof deadReasons)[number]

/** What dead letters are meant: those that fit all that is given. */
export interface DeadLetterFilter {
  readonly channel?: string | undefined
  /** `''`: those that a relay gave up before any consumer had them. */
  readonly consumer?: string | undefined
  readonly key?: string | undefined
  /** Ids of messages. One message may be a dead letter of several consumers. */
  readonly ids?: readonly string[] | undefined
  readonly numbers?: readonly number[] | undefined
  /** Given up longer ago than this, by the database's clock. */
  readonly olderThanMs?: number | undefined
  /** Given up since then. */
  readonly newerThanMs?: number | undefined
  readonly reason?: DeadReason | undefined
  /** Up to this number: what comes after somebody has looked is left alone. */
  readonly upTo?: number | undefined
}

export interface DeadLetterPage {
  /** Only those with a higher number: the last one of the page before. */
  readonly after?: number | undefined
  readonly limit: number
}

/** A dead letter without its payload. */
export interface DeadLetterSummary extends Pick<Envelope, 'id' | 'channel' | 'key' | 'createdAt'> {
  /** Names it: it grows in the order in which messages were given up. */
  readonly number: number
  /** Whose it is; `''` where a relay gave it up before any consumer had it. */
  readonly consumer: string
  readonly reason: DeadReason
  readonly attempts: number
  readonly errorCode: string
  readonly error: string
  readonly diedAt: Date
  /** Since it was published or, where it was delayed, since that ended, by the database's clock: what its expiry is reckoned from. */
  readonly ageMs: number
  /** A replay is run by a process of its consumer; else it goes back into the outbox, where it stood. */
  readonly isFromBroker: boolean
  /** It is the head of a parked key or stands behind it: it comes back with the whole key, or not at all. */
  readonly isKeyParked: boolean
  /** Since when it waits for its consumer's process to run it again; `null` where nobody asked for it. */
  readonly replayAt: Date | null
}

export interface FullDeadLetter extends DeadLetterSummary, Envelope {
  /** Where it stood in the outbox; `null` where it came from a broker. */
  readonly partition: number | null
  readonly seq: bigint | null
  readonly firstErrorCode: string
  readonly firstError: string
  readonly firstFailedAt: Date
}

/** What a filter meets. */
export interface DeadLetterCount {
  readonly messages: number
  /** Of them, those whose key is parked. */
  readonly ofParkedKeys: number
  /** The parked keys they belong to. */
  readonly parkedKeys: readonly ParkedKey[]
  /** The highest number there is, for {@link DeadLetterFilter.upTo}. */
  readonly upTo: number
}

/** What names a key that is held. */
export interface KeyName {
  readonly consumer: string
  readonly channel: string
  readonly key: string
}

export interface ParkedKey extends KeyName {
  /** Its head and what stands behind it, whether the filter meets them or not. What was given up before is no part of it. */
  readonly messages: number
}

/** Some dead letters by number, or a parked key with all that is its. */
export type DeadLetterTarget =
  | { readonly numbers: readonly number[] }
  | {
      readonly key: KeyName
      /** Its head stays a dead letter, one like any other. */
      readonly withoutHead?: boolean
    }

/**
 * Why a dead letter was left where it is. `key-parked`: its whole key comes back, or none of it · `no-channel`: its channel is
 * not registered · `no-consumer`: its consumer has no subscription any more · `no-place`: its row still waits for another consumer, in
 * partitions of another layout than its own consumer's · `expired`: older than its channel lets be sent · `key-expired`: one of its
 * parked key is · `asked-already` · `busy`: its consumer is running it at this moment.
 */
export type LeftReason =
  | 'key-parked'
  | 'no-channel'
  | 'no-consumer'
  | 'no-place'
  | 'expired'
  | 'key-expired'
  | 'asked-already'
  | 'busy'

export interface ReplayResult {
  /** Back in the outbox, under their old numbers. */
  readonly returned: number
  /** Marked for their consumer's process, which runs them. */
  readonly asked: number
  readonly left: readonly { readonly why: LeftReason; readonly count: number }[]
}

export interface PurgeResult {
  readonly purged: number
  readonly left: ReplayResult['left']
}

/**
 * Dead letters, for whoever decides about them. Each effect is one transaction, which locks what it is about and then looks
 * again, so that it is right whatever relays, consumers and other operators do meanwhile; made a second time it does nothing (F40).
 * Throws `CommitOutcomeUnknownError` where the answer to a COMMIT was lost: asking again is safe.
 */
export interface DeadLetters {
  /** In order of number. */
  list(filter: DeadLetterFilter, page: DeadLetterPage): Promise<readonly DeadLetterSummary[]>
  /** With payload; one for each consumer where it is asked for by the message's id. */
  find(name: { readonly number: number } | { readonly id: string }): Promise<readonly FullDeadLetter[]>
  /** Looks at every dead letter that fits: not for a loop. */
  count(filter: DeadLetterFilter): Promise<DeadLetterCount>
  /**
   * A message that stood in the outbox goes back there, with its id and its number, its partition as the layout of now has it; of a
   * consumer of the same database, to that consumer alone. A broker consumer's is marked for that consumer's process
   * ({@link Replays}). Of a parked key everything goes back in this one transaction, and its line ends: no read sees half of it.
   */
  replay(target: DeadLetterTarget): Promise<ReplayResult>
  /** Deletes them. Their consumer never gets them. A parked key's line ends with its dead letters. */
  purge(target: DeadLetterTarget): Promise<PurgeResult>
}
