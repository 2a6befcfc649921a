import { WaybillError } from '../kernel/errors.ts'
import type { SqlExecutor, SqlRow, TransactionState } from '../ports/sql.ts'
import type { HandleAdapter } from './adapter.ts'

/** What Waybill uses of a `pg` client (a `Client`, or what `pool.connect()` gives); pg 8.21 or newer. */
export interface PgClient {
  query(query: {
    readonly name: string
    readonly text: string
    readonly values: unknown[]
  }): Promise<{ readonly rows: SqlRow[] }>
  /** What the server said with its last answer: idle, in a transaction, in a failed one; `null` before the first. */
  getTransactionStatus(): 'I' | 'T' | 'E' | null
}

const states: Record<'I' | 'T' | 'E', TransactionState> = { I: 'none', T: 'active', E: 'failed' }

/** invalid_sql_statement_name: a prepared statement that is not there. */
const notPrepared = '26000'

/** An executor on the connection of `client`, in whatever transaction that is in. */
export function pgExecutor(client: PgClient): SqlExecutor {
  // Whoever owns the client may reset its session (DISCARD ALL, DEALLOCATE), which the driver is not told: it would name for ever what
  // is not there. From the first failure on nothing is prepared on it. The driver takes the empty name for none.
  let isReset = false
  return {
    async execute({ name, text }, parameters) {
      try {
        const result = await client.query({ name: isReset ? '' : name, text, values: [...parameters] })
        return result.rows
      } catch (error) {
        if ((error as { code?: unknown } | null)?.code === notPrepared) isReset = true
        throw error
      }
    },
    transactionState() {
      const status = client.getTransactionStatus()
      return status === null ? 'none' : states[status]
    },
  }
}

// One executor for a client, so that two looks at the same handle can be told to be the same.
const executors = new WeakMap<object, SqlExecutor>()

export const pgAdapter: HandleAdapter = {
  expects: "a pg client inside a transaction (pool.connect(), then query('BEGIN'))",
  executorFor(handle) {
    if (!('query' in handle) || typeof handle.query !== 'function') return undefined
    if ('totalCount' in handle && 'connect' in handle) {
      throw new WaybillError(
        'WB_NO_TRANSACTION',
        'The handle given is a pg pool: each of its queries may run on another connection, so it is never in a ' +
          "transaction. Take a client from it with pool.connect(), query('BEGIN') on that, and pass the client.",
      )
    }
    if (!isPgClient(handle)) return undefined
    let executor = executors.get(handle)
    if (executor === undefined) executors.set(handle, (executor = pgExecutor(handle)))
    return executor
  },
}

function isPgClient(handle: object): handle is PgClient {
  if (!('getTransactionStatus' in handle)) {
    // A client that cannot tell is refused: a message outside a transaction would be a silent dual write (W1).
    if (!('connection' in handle) && !('connectionParameters' in handle)) return false
    throw new WaybillError(
      'WB_NO_TRANSACTION',
      'The handle given is a pg client that cannot tell whether it is in a transaction: update pg to 8.21 or newer.',
    )
  }
  return typeof handle.getTransactionStatus === 'function'
}
