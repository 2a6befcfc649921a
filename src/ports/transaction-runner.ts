import type { SqlExecutor } from './sql.ts'

export interface OpenTransaction {
  /** The driver's own client, inside the transaction: what users run their statements on. */
  readonly handle: unknown
  readonly executor: SqlExecutor
}

export interface RunOptions {
  /** The server ends the transaction when it has stood idle for so long, so that a paused process holds no lock for ever. */
  readonly idleTimeoutMs: number
  /** An abort rolls back and ends the connection: a handler past its time may still send statements on it. */
  readonly signal?: AbortSignal
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
