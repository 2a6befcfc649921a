/** One row of an answer: column name to value, as the driver gives it. */
export type SqlRow = Readonly<Record<string, unknown>>

/** A statement with a name of its own, so that a driver which can prepares it once per connection. */
export interface SqlStatement {
  readonly name: string
  /** Placeholders are `$1` to `$n`; adapters for drivers that want `?` rewrite them. */
  readonly text: string
}

/**
 * `active`: inside a transaction that can go on · `failed`: inside one that can only roll back · `none`: not in a
 * transaction · `unknown`: the handle cannot tell (it is a transaction by construction, as an ORM's callback argument is).
 */
export type TransactionState = 'active' | 'failed' | 'none' | 'unknown'

/**
 * A transaction that somebody else owns, reduced to what Waybill needs of it. `src/transactions/` makes one from each
 * client's own handle. Statements run one after another on the connection of that transaction; a throw is the driver's own
 * error, unwrapped, and leaves the transaction to its owner.
 */
export interface SqlExecutor {
  execute(statement: SqlStatement, parameters: readonly unknown[]): Promise<readonly SqlRow[]>
  transactionState(): TransactionState
}
