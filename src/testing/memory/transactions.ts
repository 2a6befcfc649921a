import { CommitOutcomeUnknownError, WaybillError } from '../../kernel/errors.ts'
import type { SqlExecutor } from '../../ports/sql.ts'
import type { OpenTransaction, RunOptions, TransactionRunner } from '../../ports/transaction-runner.ts'
import type { Activity } from './activity.ts'

/** A transaction of a stand-in for the database; what handlers and `transaction()` get is its `tx`. */
export interface TestTransaction {
  /** What your code uses of its client, and no more. An object of its own for each transaction that is open at the same time. */
  readonly tx: object
  /** Everything in it went well: what was written is to be kept. A throw rolls the transaction back. */
  commit?(): Promise<void> | void
  /** What was written is to be forgotten. */
  rollback?(): Promise<void> | void
}

/** What is to happen if a transaction commits, and in any case when it ends. */
interface Open {
  readonly onCommit: (() => void)[]
  readonly ended: PromiseWithResolvers<void>
  /** Its connection is not lost. */
  isSpared: boolean
}

/** What becomes of a transaction: nothing bad · its connection is lost before its commit · the answer to its commit is lost. */
export type TransactionFault = 'none' | 'lost' | 'unanswered'

/** Transactions in memory: what was noted in one is there once it has committed, and not before. */
export class MemoryTransactions implements TransactionRunner {
  readonly #begin: () => TestTransaction
  readonly #activity: Activity
  readonly #open = new Map<SqlExecutor, Open>()
  readonly #handles = new Map<unknown, Open>()
  /** Asked at the end of each. @default nothing bad */
  drawFault: () => TransactionFault = () => 'none'

  constructor(begin: () => TestTransaction, activity: Activity) {
    this.#begin = begin
    this.#activity = activity
  }

  run<T>(options: RunOptions, work: (transaction: OpenTransaction) => Promise<T>): Promise<T> {
    return this.#activity.during(() => this.#run(options, work))
  }

  /** Throws where `executor` is of no transaction that is open here. */
  onCommit(executor: SqlExecutor, apply: () => void): void {
    const open = this.#open.get(executor)
    if (open === undefined) {
      throw new WaybillError(
        'WB_NO_TRANSACTION',
        'The in-memory instance knows its own transactions only: publish with what its transaction() gives, or a handler gets.',
      )
    }
    open.onCommit.push(apply)
  }

  /** Resolves when the transaction has ended, either way. */
  async ended(executor: SqlExecutor): Promise<void> {
    await this.#open.get(executor)?.ended.promise
  }

  /** Loses no connection under the transaction of this `tx`. Nothing where it is not open here. */
  spare(handle: unknown): void {
    const open = this.#handles.get(handle)
    if (open !== undefined) open.isSpared = true
  }

  async #run<T>({ signal }: RunOptions, work: (transaction: OpenTransaction) => Promise<T>): Promise<T> {
    const transaction = this.#begin()
    const { tx: handle } = transaction
    if (this.#handles.has(handle)) {
      throw new WaybillError(
        'WB_INVALID_OPTION',
        '`begin` gave the `tx` of a transaction that is still open: make a new object for each.',
      )
    }
    const open: Open = { onCommit: [], ended: Promise.withResolvers(), isSpared: false }
    const executor: SqlExecutor = {
      execute: async () => {
        throw new WaybillError('WB_STORE_FAILED', 'The in-memory instance runs no statements.')
      },
      transactionState: () => (this.#open.has(executor) ? 'active' : 'none'),
    }
    this.#open.set(executor, open)
    this.#handles.set(handle, open)
    try {
      const { result, fault } = await this.#commit(transaction, open, async () => {
        const done = await work({ handle, executor })
        signal?.throwIfAborted()
        return done
      })
      if (fault === 'unanswered')
        throw new CommitOutcomeUnknownError(undefined, new Error('The simulation wills it so.'))
      return result
    } finally {
      this.#open.delete(executor)
      this.#handles.delete(handle)
      open.ended.resolve()
    }
  }

  async #commit<T>(
    transaction: TestTransaction,
    open: Open,
    work: () => Promise<T>,
  ): Promise<{ readonly result: T; readonly fault: TransactionFault }> {
    try {
      const result = await work()
      const fault = this.drawFault()
      if (fault === 'lost' && !open.isSpared) {
        throw new WaybillError(
          'WB_STORE_UNREACHABLE',
          'The connection was lost: so the simulation wills it.',
          {
            retryable: 'yes',
          },
        )
      }
      await transaction.commit?.()
      for (const apply of open.onCommit) apply()
      return { result, fault }
    } catch (error) {
      await transaction.rollback?.()
      throw error
    }
  }
}

/** For tests whose handlers use no `tx` but to publish: says at any other use that there is no database. */
export function withoutDatabase(onUse: (error: WaybillError) => void): TestTransaction {
  const tx = new Proxy(
    {},
    {
      get(_target, name) {
        // A handle that a callback returns is looked at by whoever awaits it.
        if (typeof name === 'symbol' || name === 'then') return undefined
        const error = new WaybillError(
          'WB_INVALID_OPTION',
          `\`tx.${name}\` was used, and the in-memory instance has no database: give createTestWaybill a \`begin\` that makes a stand-in.`,
        )
        onUse(error)
        throw error
      },
    },
  )
  return { tx }
}
