import { WaybillError } from '../kernel/errors.ts'
import type { SqlExecutor } from '../ports/sql.ts'
import { type TransactionRunner, wrapBehind } from '../ports/transaction-runner.ts'
import type { HandleAdapter } from './adapter.ts'
import { ownAdapter } from './own.ts'
import { pgAdapter } from './pg.ts'

/** The kinds of handles that are known, asked in this order. */
const adapters: readonly HandleAdapter[] = [ownAdapter, pgAdapter]

/**
 * Handles of transactions that Waybill itself began. Such a one is not asked for its state: where the connection
 * pipelines, BEGIN has been sent and not yet answered, and it would still say that it is idle.
 */
const bound = new WeakMap<object, SqlExecutor>()

/** The executor of a transaction handle of any known kind. Throws `WB_NO_TRANSACTION` where it is of none. */
export function executorFor(handle: unknown): SqlExecutor {
  if ((typeof handle === 'object' && handle !== null) || typeof handle === 'function') {
    const own = bound.get(handle)
    if (own !== undefined) return own
    for (const adapter of adapters) {
      const executor = adapter.executorFor(handle)
      if (executor !== undefined) return executor
    }
  }
  const found = handle === null ? 'null' : typeof handle
  throw new WaybillError(
    'WB_NO_TRANSACTION',
    `The transaction given (${found}) is none that Waybill knows; expected ${adapters.map((a) => a.expects).join(', or ')}.`,
  )
}

/**
 * `runner`, whose transactions' own handles are known to {@link executorFor} for as long as each transaction lasts. After it a
 * handle that was kept too long is judged by what it says itself: idle, and so refused.
 */
export function bindTransactions(runner: TransactionRunner): TransactionRunner {
  return {
    run: (options, work) =>
      runner.run(wrapBehind(options, bindTransactions), async (transaction) => {
        const { handle, executor } = transaction
        if (typeof handle !== 'object' || handle === null) return await work(transaction)
        bound.set(handle, executor)
        try {
          return await work(transaction)
        } finally {
          bound.delete(handle)
        }
      }),
  }
}
