import { createHash } from 'node:crypto'
import type { SqlExecutor, SqlRow, SqlStatement } from '../../ports/sql.ts'

/** A statement of the store's own. */
export interface NamedStatement extends SqlStatement {
  /** Does the same where the statement cannot be prepared, and takes less planning. @default the text */
  readonly unpreparedText?: string
}

/**
 * A statement that is prepared once per connection. The name carries a digest of its text: two schemas, or two versions of this
 * package, may share a caller's connection, and the driver refuses one name for two texts.
 */
export function named(name: string, text: string, unpreparedText: string = text): NamedStatement {
  const digest = createHash('sha256').update(text).digest('hex').slice(0, 16)
  return { name: `waybill_${name}_${digest}`, text, unpreparedText }
}

/** Runs statements of the store's own in a transaction. */
export interface SuitedExecutor {
  execute(statement: NamedStatement, parameters: readonly unknown[]): Promise<readonly SqlRow[]>
}

/** Gives a transaction of somebody else's as it can be used: see `Connections.suited`. */
export type Suited = (transaction: SqlExecutor) => SuitedExecutor

/** A statement that is planned whenever it runs. The driver takes the empty name for none. */
export function unprepared(text: string): SqlStatement {
  return { name: '', text }
}
