import { describeError, WaybillError } from '../kernel/errors.ts'

/** Why a message cannot be handled here, though nothing is wrong with it. */
export class UnreadableError extends WaybillError {}

export interface Failed {
  readonly outcome: 'failed'
  /** `false`: it can never succeed, as a payload that does not parse. */
  readonly retryable: boolean
  /** It is kept as it is for somebody who can make something of it; nothing is wrong with it. */
  readonly isUnreadable: boolean
  /** Failed attempts so far, this one included. */
  readonly attempts: number
  readonly code: string
  readonly reason: string
}

export interface Later {
  readonly outcome: 'later'
  /** `null`: as after failed attempts. */
  readonly pauseMs: number | null
  /** Failed attempts so far, this one not among them. */
  readonly attempts: number
  readonly code: string
  readonly reason: string
}

/**
 * What became of one message of a batch.
 * `handled`: its transaction is committed · `duplicate`: it had been handled before, no handler ran · `failed`: rolled back
 * by its own fault, counted · `skipped`: not run, since an earlier message of its key failed · `unknown`: the answer to
 * COMMIT was lost · `later`: rolled back because its handler asked for a pause, not counted · `unavailable`: not run or rolled back by no fault of its own (the database cannot be reached, the
 * consumer stops), not counted · `stale`: not run, since what is known of its stream is no longer so · `reassigned`: its stream
 * is assigned anew, and it comes again where it was not handled.
 */
export type Outcome =
  | { readonly outcome: 'handled' }
  | { readonly outcome: 'duplicate' }
  | Failed
  | { readonly outcome: 'skipped' }
  | { readonly outcome: 'unknown'; readonly code: string; readonly reason: string }
  | Later
  | {
      readonly outcome: 'unavailable' | 'stale' | 'reassigned'
      readonly code: string
      readonly reason: string
    }

export const handled: Outcome = { outcome: 'handled' }
export const duplicate: Outcome = { outcome: 'duplicate' }
export const skipped: Outcome = { outcome: 'skipped' }

export function failed(error: unknown, attempts: number, retryable: boolean): Failed {
  const { code, message } = describeError(error)
  const isUnreadable = error instanceof UnreadableError
  return { outcome: 'failed', retryable, isUnreadable, attempts, code, reason: message }
}

export function later(error: unknown, attempts: number, pauseMs: number | null): Later {
  const { code, message } = describeError(error)
  return { outcome: 'later', pauseMs, attempts, code, reason: message }
}

export function notDone(
  outcome: 'unknown' | 'unavailable' | 'stale' | 'reassigned',
  error: unknown,
): Outcome {
  const { code, message } = describeError(error)
  return { outcome, code, reason: message }
}
