import type { Envelope } from '../kernel/message.ts'
import type { SqlExecutor } from './sql.ts'

/** A dead letter that somebody asked its consumer to run again. */
export interface AskedReplay {
  readonly number: number
  readonly envelope: Envelope
  /** How often a process has begun it since it was asked for, this time included (O6). */
  readonly starts: number
}

/** Why it is a dead letter still. */
export interface ReplayFailure {
  /** Attempts that are added to those it had. */
  readonly attempts: number
  readonly errorCode: string
  readonly error: string
}

/**
 * Dead letters of a consumer that are to be run again by one of its processes. Asking and running are apart: who asks has no
 * handlers. The inbox row of a dead letter stays where it is, so that a copy which the broker hands over once more is not run.
 */
export interface Replays {
  /**
   * The next one of these channels that was asked for, in order of number, with its start counted; `null` where there is none. For
   * `leaseMs`, by the database's clock, no other process gets it.
   */
  claim(consumer: string, channels: readonly string[], leaseMs: number): Promise<AskedReplay | null>
  /**
   * In the transaction that runs the handler, before it: deletes the dead letter, and gives its inbox row the time of now, so that
   * copies are known for a whole retention. `false`: another process has it, or somebody has ended it; nothing is written then.
   */
  take(transaction: SqlExecutor, consumer: string, replay: AskedReplay): Promise<boolean>
  /** It failed again: it stays a dead letter with the new error, and is not asked for any more. */
  fail(consumer: string, replay: AskedReplay, failure: ReplayFailure): Promise<void>
  /** It was not run, by no fault of its own: it may be claimed again at once, and its start is not counted. */
  release(consumer: string, replay: AskedReplay): Promise<void>
}
