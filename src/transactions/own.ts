import type { SqlExecutor } from '../ports/sql.ts'
import type { HandleAdapter } from './adapter.ts'

/** A transaction that is reduced to an executor already: a `SqlExecutor` itself, or what a `TransactionRunner` hands out. */
export const ownAdapter: HandleAdapter = {
  expects: 'a SqlExecutor',
  executorFor(handle) {
    if (isExecutor(handle)) return handle
    return 'executor' in handle && isExecutor(handle.executor) ? handle.executor : undefined
  },
}

function isExecutor(value: unknown): value is SqlExecutor {
  return (
    typeof value === 'object' &&
    value !== null &&
    'execute' in value &&
    typeof value.execute === 'function' &&
    'transactionState' in value &&
    typeof value.transactionState === 'function'
  )
}
