import type { Envelope } from '../kernel/message.ts'
import type { SqlExecutor } from './sql.ts'

/** A dead letter that somebody asked its consumer to run again. */
export interface AskedReplay {
  readonly number: number
  readonly envelope: Envelope
  readonly attempts: number
}

/**
 * Dead letters of a consumer that are to be run again by one of its processes. Asking and running are apart: who asks has no
 * handlers. The inbox row of a dead letter stays where it is, so that a copy which the broker hands over once more is not run.
 */
export interface Replays {
  /** Those of these channels that were asked for, in order of number. Nothing is locked. */
  asked(consumer: string, channels: readonly string[], limit: number): Promise<readonly AskedReplay[]>
  /**
   * In the transaction that runs the handler, before it: deletes the dead letter, and gives its inbox row the time of now, so that
   * copies are known for a whole retention. `false`: another process has it, or has ended it; nothing is written then.
   */
  take(transaction: SqlExecutor, consumer: string, replay: AskedReplay): Promise<boolean>
  /** It failed again: it stays a dead letter with the new error and so many attempts more, and is not asked for any more. */
  fail(
    consumer: string,
    replay: AskedReplay,
    failure: { readonly attempts: number; readonly errorCode: string; readonly error: string },
  ): Promise<void>
}
