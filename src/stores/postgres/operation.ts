import { isWaybillError } from '../../kernel/errors.ts'
import type { Connection, Queries } from './connection.ts'
import { registrationLock } from './schema.ts'

/**
 * Lends a connection for one call; closing it is the rollback. `long`: for what may look at every dead letter there is, or move all
 * of a key.
 */
export type LendOperation = <T>(
  length: 'short' | 'long',
  work: (connection: Connection) => Promise<T>,
) => Promise<T>

/** Tries of a transaction that meets others: relays lock rows, lines and counters in an order of their own. */
const mostTries = 5

/**
 * A transaction of an operator, done again where it met another one. Each of its statements sees what was committed while the one
 * before it waited for its locks.
 *
 * It shares the registration's lock, so that no consumer subscribes between "who has this message?" and what follows from the
 * answer; and it holds the layout, so that a row is not put into partitions that are being given up.
 */
export async function operate<T>(
  lend: (work: (connection: Connection) => Promise<T>) => Promise<T>,
  s: string,
  what: string,
  work: (connection: Queries) => Promise<T>,
): Promise<T> {
  for (let tries = 1; ; tries++) {
    try {
      return await lend((connection) => once(connection, s, what, work))
    } catch (error) {
      const isConflict = isWaybillError(error) && error.code === 'WB_STORE_CONFLICT'
      if (!isConflict || tries === mostTries) throw error
    }
  }
}

async function once<T>(
  connection: Connection,
  s: string,
  what: string,
  work: (connection: Queries) => Promise<T>,
): Promise<T> {
  return await connection.transaction(what, async (run) => {
    await run({ text: `select ${registrationLock(s, 'shared')}` })
    await run({ text: `select t.transport from ${s}.transports t order by 1 for share` })
    return await work({ query: run })
  })
}
