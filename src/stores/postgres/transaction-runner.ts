import { withDeadline } from '../../kernel/deadline.ts'
import { isWaybillError, WaybillError } from '../../kernel/errors.ts'
import type { OpenTransaction, RunOptions, TransactionRunner } from '../../ports/transaction-runner.ts'
import type { PgPooledClient } from './driver.ts'
import { isPoolTimeOut, storeError } from './errors.ts'
import { Transaction, type TransactionLimits } from './transaction.ts'

/** Transactions on clients of the pool; BEGIN and COMMIT travel with their neighbours where the client pipelines. */
export function createTransactionRunner(
  borrow: () => Promise<PgPooledClient>,
  limits: TransactionLimits,
): TransactionRunner {
  return {
    async run<T>(options: RunOptions, work: (transaction: OpenTransaction) => Promise<T>): Promise<T> {
      const { signal } = options
      if (signal?.aborted === true) {
        throw new WaybillError('WB_ABORTED', 'The transaction was not begun: its signal has aborted.')
      }
      const borrowing = borrow()
      let client: PgPooledClient
      try {
        client = await withDeadline(borrowing, limits.statementTimeoutMs, 'A connection of the pool', signal)
      } catch (error) {
        // One that comes too late goes back unused.
        borrowing.then((late) => late.release()).catch(() => {})
        if (isWaybillError(error) && error.code === 'WB_TIMED_OUT')
          throw noneFree(`${limits.statementTimeoutMs} ms`)
        if (isPoolTimeOut(error)) throw noneFree("the pool's connectionTimeoutMillis", error)
        throw storeError(error, 'begin a transaction')
      }
      return await new Transaction(client, options, limits).run(work)
    },
  }
}

/** It looks like a database that does not answer, and mostly is none: the pool is what the caller can look at first. */
function noneFree(within: string, cause?: unknown): WaybillError {
  return new WaybillError(
    'WB_TIMED_OUT',
    `The transaction was not begun: no connection of the pool was free within ${within}. Look for transactions that stay open, or give ` +
      'the store a larger `pool`; where none is open, see that PostgreSQL takes connections.',
    { retryable: 'yes', cause },
  )
}
