import type { KeyName } from './dead-letters.ts'

/** `retrying`: its head is tried again at a time that is set · `blocked`: it waits for an operator · `parked`: it is among the dead letters. */
export const keyStates = ['retrying', 'blocked', 'parked'] as const
export type KeyState = (typeof keyStates)[number]

/** What lines are meant: those that fit all that is given. */
export interface KeyFilter {
  readonly channel?: string | undefined
  /** `''`: those of a relay's own lane. */
  readonly consumer?: string | undefined
  readonly key?: string | undefined
  readonly ids?: readonly string[] | undefined
  readonly state?: KeyState | undefined
  /** The head failed last longer ago than this, by the database's clock. */
  readonly olderThanMs?: number | undefined
  readonly newerThanMs?: number | undefined
}

/** What names a line. */
export interface LineName {
  readonly consumer: string
  readonly partition: number
  readonly seq: bigint
}

/** A line of `blocked`: a key that is held and its head; or, where nothing is kept in order, one message. */
export interface HeldKey extends LineName, Omit<KeyName, 'key'> {
  /** `null`: the line holds its message only. */
  readonly key: string | null
  /** Of the message that failed. */
  readonly id: string
  readonly state: KeyState
  readonly attempts: number
  /** `null` where no time is set. */
  readonly retryAt: Date | null
  readonly errorCode: string
  readonly error: string
  readonly firstFailedAt: Date
  /** Of a parked key: its dead letters, counted to 10,000. */
  readonly parkedMessages: number
}

export interface KeyPage {
  /** Only lines after this one. */
  readonly after?: LineName | undefined
  readonly limit: number
}

/** `skipped`: its head is a dead letter, and the key goes on · `gone`: the head was delivered meanwhile · `parked`: see {@link Keys.skip}. */
export type SkipOutcome = 'skipped' | 'gone' | 'parked'

/**
 * Keys that are held, for whoever decides about them. Each effect is one transaction that locks lines, looks again, and raises
 * the rewind of their partitions. Throws `WB_STORE_CONFLICT` where a message is being handled at this moment.
 */
export interface Keys {
  /** In the order of consumer, partition and number. */
  list(filter: KeyFilter, page: KeyPage): Promise<readonly HeldKey[]>
  /** Looks at every line that fits. */
  count(filter: KeyFilter): Promise<number>
  /**
   * Tries the heads of these lines again now; a blocked one begins with no attempts. Parked lines are left alone. Returns how
   * many it changed.
   */
  unblock(lines: readonly LineName[]): Promise<number>
  /**
   * Gives the message of a line up: it becomes a dead letter with what the line tells, and the key goes on. A parked line is left
   * as it is: its head is a dead letter already ({@link DeadLetterTarget}).
   */
  skip(line: LineName): Promise<SkipOutcome>
}
