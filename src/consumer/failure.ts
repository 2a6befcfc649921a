import { isWaybillError } from '../kernel/errors.ts'
import { CheckpointMovedError } from './stream-checkpoints.ts'

/** Where a batch's transaction was when it failed. */
export type Phase = 'admit' | 'handler' | 'commit'

/**
 * `message`: one of the messages is the trouble · `conflict`: with another transaction, redone and not counted · `moved`: the
 * checkpoint was not where it should be, and is to be looked at · `commit-unknown`: it may have committed · `unavailable`: the
 * store, or the consumer stops.
 */
export type FailureKind = 'message' | 'conflict' | 'moved' | 'commit-unknown' | 'unavailable'

/** SQLSTATE: serialization_failure, deadlock_detected. */
const conflicts = new Set(['40001', '40P01'])

/**
 * Classes whose errors are the server's state and no statement's fault: connection exception, insufficient resources,
 * operator intervention, system error, internal error.
 */
const serverTrouble = /^(?:08|53|57|58|XX)[0-9A-Z]{3}$/u
/** At COMMIT: a statement that failed or was refused, and whose error the handler did not let through; or one that ended the transaction. */
const ofHandlers = new Set<string>(['WB_TRANSACTION_ROLLED_BACK', 'WB_NO_TRANSACTION'])
const sqlState = /^[0-9A-Z]{5}$/u

/**
 * Whose fault it was that a transaction failed (told by SQLSTATE, never by text: I6). A handler's error is its message's,
 * whatever it says: it may come from another database or service, whose being down must cost that key and no other (O2).
 * At COMMIT a deferred constraint or a statement nobody awaited is the message's too; what is left there is the store's.
 */
export function failureKind(error: unknown, phase: Phase): FailureKind {
  if (error instanceof CheckpointMovedError) return 'moved'
  if (isConflict(error)) return 'conflict'
  if (phase === 'handler') return 'message'
  if (isWaybillError(error)) {
    if (error.code === 'WB_COMMIT_OUTCOME_UNKNOWN') return 'commit-unknown'
    return phase === 'commit' && ofHandlers.has(error.code) ? 'message' : 'unavailable'
  }
  if (phase === 'admit') return 'unavailable'
  const code = codeOf(error)
  return code !== undefined && sqlState.test(code) && !serverTrouble.test(code) ? 'message' : 'unavailable'
}

/** Also where a library has wrapped the driver's error. */
function isConflict(error: unknown): boolean {
  let current: unknown = error
  for (let depth = 0; depth < 5 && typeof current === 'object' && current !== null; depth++) {
    if (isWaybillError(current) && current.code === 'WB_STORE_CONFLICT' && current.retryable === 'yes')
      return true
    if (conflicts.has(codeOf(current) ?? '')) return true
    current = (current as { cause?: unknown }).cause
  }
  return false
}

function codeOf(error: unknown): string | undefined {
  const code = typeof error === 'object' && error !== null ? (error as { code?: unknown }).code : undefined
  return typeof code === 'string' ? code : undefined
}
