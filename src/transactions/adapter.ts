import type { SqlExecutor } from '../ports/sql.ts'

/** Knows one kind of transaction handle. A new client library is one file with one of these, and a line in the registry. */
export interface HandleAdapter {
  /** What users of this library pass as a transaction, for error messages. */
  readonly expects: string
  /**
   * The executor of `handle`, the same for each call with the same handle; `undefined` where it is of another kind. Throws
   * `WB_NO_TRANSACTION` where it is of this kind and never in a transaction, as a pool is.
   */
  executorFor(handle: object): SqlExecutor | undefined
}
