import type { SqlExecutor } from './sql.ts'

export interface OpenTransaction {
  /** The driver's own client, inside the transaction: what users run their statements on. */
  readonly handle: unknown
  readonly executor: SqlExecutor
  /** Whether {@link RunOptions.onCommitSent} will be called, as far as can be told now. */
  readonly canBeFollowed?: boolean
  /**
   * Of one that was sent behind another: resolves when that one's commit was acknowledged, rejects where it was not, whatever else
   * became of it. Until then nothing may be done that rests on it. Whoever does not wait for it is not told.
   */
  readonly predecessor?: Promise<void>
}

export interface RunOptions {
  /** The server ends the transaction when it has stood idle for so long, so that a paused process holds no lock for ever. */
  readonly idleTimeoutMs: number
  /** An abort rolls back and ends the connection: a handler past its time may still send statements on it. */
  readonly signal?: AbortSignal
  /**
   * COMMIT has just been sent. What `behind` is given to run during this call travels right behind it on the same connection, so that
   * the server begins it as soon as it has committed, and the client need not wait for the one before it asks for the next. To
   * the server they are one after the other. Only where the connection pipelines, is nobody else's before, and is not waited for.
   */
  readonly onCommitSent?: (behind: TransactionRunner) => void
}

/**
 * Owns a transaction around `work`: begins, commits when it resolves, rolls back when it rejects. Statements that `work`
 * did not await are part of it, and where one of them failed the transaction rolls back. BEGIN is not awaited before `work`
 * runs where the connection pipelines.
 *
 * Resolves: the commit was acknowledged. Rejects with `CommitOutcomeUnknownError`: the answer to COMMIT was lost. Rejects with
 * anything else: it rolled back, and nothing is stored (A4, A5).
 */
export interface TransactionRunner {
  run<T>(options: RunOptions, work: (transaction: OpenTransaction) => Promise<T>): Promise<T>
}

/** `options` for a runner inside another one that wraps it: what is sent behind is wrapped as well. */
export function wrapBehind(
  options: RunOptions,
  wrap: (runner: TransactionRunner) => TransactionRunner,
): RunOptions {
  const { onCommitSent } = options
  return onCommitSent === undefined
    ? options
    : { ...options, onCommitSent: (behind) => onCommitSent(wrap(behind)) }
}
