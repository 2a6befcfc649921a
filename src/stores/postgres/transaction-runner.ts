import { withDeadline } from '../../kernel/deadline.ts'
import { WaybillError } from '../../kernel/errors.ts'
import type { OpenTransaction, RunOptions, TransactionRunner } from '../../ports/transaction-runner.ts'
import type { PgPooledClient } from './driver.ts'
import { storeError } from './errors.ts'
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
        throw storeError(error, 'begin a transaction')
      }
      return await new Transaction(client, options, limits).run(work)
    },
  }
}
