import { createHash } from 'node:crypto'
import type { SqlExecutor, SqlStatement } from '../../ports/sql.ts'

/**
 * A statement that is prepared once per connection. The name carries a digest of its text: two schemas, or two versions of this
 * package, may share a caller's connection, and the driver refuses one name for two texts.
 */
export function named(name: string, text: string): SqlStatement {
  return { name: `waybill_${name}_${createHash('sha256').update(text).digest('hex').slice(0, 16)}`, text }
}

/** Gives a transaction of somebody else's as it can be used: see `Connections.suited`. */
export type Suited = (transaction: SqlExecutor) => SqlExecutor

/** A statement that is planned whenever it runs. The driver takes the empty name for none. */
export function unprepared(text: string): SqlStatement {
  return { name: '', text }
}
