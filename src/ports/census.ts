import type { CensusReport } from '../kernel/census.ts'

export interface CensusRequest {
  /** Undelivered rows looked at, at most, shared out evenly among the partitions that have any. */
  readonly mostRows: number
  /** How old a transaction is at least to be told. */
  readonly oldTransactionMs: number
}

/** Counts what is where, for people and metrics. On a connection apart from every other; changes nothing. */
export interface Census {
  /**
   * One bounded look: the rows looked at and the time it takes are limited whatever the backlog; what there is more of is told
   * as a lower limit. Its parts are read one after another, so two of them may differ by what happened in between. Throws
   * `WB_STORE_UNREACHABLE`, `WB_TIMED_OUT`, `WB_SCHEMA_MISSING` or `WB_STORE_FAILED`.
   */
  look(request: CensusRequest): Promise<CensusReport>
  /** Resolves when the store has answered the shortest of questions, on a connection that no look keeps busy. Throws as `look`. */
  ping(): Promise<void>
}
