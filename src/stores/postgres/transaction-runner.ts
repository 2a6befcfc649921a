import { CommitOutcomeUnknownError, WaybillError } from '../../kernel/errors.ts'
import type { SqlExecutor } from '../../ports/sql.ts'
import type { OpenTransaction, RunOptions, TransactionRunner } from '../../ports/transaction-runner.ts'
import { destroy } from './connection.ts'
import type { PgPooledClient } from './driver.ts'
import { isConnectionLoss, storeError } from './errors.ts'

/** Transactions on clients of the pool; BEGIN and COMMIT travel with their neighbours where the client pipelines. */
export function createTransactionRunner(
  borrow: () => Promise<PgPooledClient>,
  lockTimeoutMs: number,
): TransactionRunner {
  return {
    async run<T>(options: RunOptions, work: (transaction: OpenTransaction) => Promise<T>): Promise<T> {
      let client: PgPooledClient
      try {
        client = await borrow()
      } catch (error) {
        throw storeError(error, 'begin a transaction')
      }
      const open = new Transaction(client, options, lockTimeoutMs)
      return await open.run(work)
    },
  }
}

class Transaction {
  readonly #client: PgPooledClient
  readonly #options: RunOptions
  readonly #begin: string
  #isLost = false
  #transactionId: string | undefined

  constructor(client: PgPooledClient, options: RunOptions, lockTimeoutMs: number) {
    this.#client = client
    this.#options = options
    const idleMs = Math.max(1, Math.round(options.idleTimeoutMs))
    this.#begin =
      `BEGIN; SET LOCAL idle_in_transaction_session_timeout = ${idleMs}; ` +
      `SET LOCAL lock_timeout = ${Math.round(lockTimeoutMs)}`
  }

  async run<T>(work: (transaction: OpenTransaction) => Promise<T>): Promise<T> {
    const client = this.#client
    const onError = (): void => {
      this.#isLost = true
    }
    client.on('error', onError)
    try {
      // Not awaited on a pipeline: what `work` sends first travels with it. Its failure shows in the statements after it.
      const begun = client.query(this.#begin)
      begun.catch(() => {})
      if (client.pipeline !== true) await begun.catch(this.#failToBegin)
      let result: T
      try {
        result = await work({ handle: client, executor: this.#executor() })
        this.#options.signal?.throwIfAborted()
      } catch (error) {
        await this.#rollBack()
        throw error
      }
      await this.#commit(begun)
      return result
    } finally {
      client.off('error', onError)
      if (this.#isLost) destroy(client)
      client.release(this.#isLost)
    }
  }

  #executor(): SqlExecutor {
    return {
      execute: async (statement, parameters) => {
        const query = { name: statement.name, text: statement.text, values: [...parameters] }
        const { rows } = await this.#client.query(query)
        const [first] = rows
        // Learned in passing, so that a commit whose answer is lost can be asked after (F2).
        if (rows.length === 1 && typeof first.xid === 'string') this.#transactionId = first.xid
        return rows
      },
      // A transaction of ours is active from its first moment: BEGIN is sent before anything else can be.
      transactionState: () => (this.#client.getTransactionStatus() === 'E' ? 'failed' : 'active'),
    }
  }

  async #commit(begun: Promise<unknown>): Promise<void> {
    let command: string
    try {
      command = (await this.#client.query('COMMIT')).command
    } catch (error) {
      this.#isLost = isConnectionLoss(error)
      // A refused COMMIT (a deferred constraint, a serialisation failure) has rolled back, and the driver's own error says
      // why; a lost answer tells nothing.
      if (!this.#isLost) throw error
      await begun.catch(this.#failToBegin)
      throw new CommitOutcomeUnknownError(this.#transactionId, error)
    }
    await begun.catch(this.#failToBegin)
    if (command !== 'COMMIT') {
      throw new WaybillError(
        'WB_TRANSACTION_ROLLED_BACK',
        'The transaction rolled back, because one of its statements had failed: nothing of it is stored.',
        { retryable: 'unknown' },
      )
    }
  }

  readonly #failToBegin = (error: unknown): never => {
    this.#isLost ||= isConnectionLoss(error)
    throw storeError(error, 'begin a transaction')
  }

  async #rollBack(): Promise<void> {
    // A handler that ran out of time may still send statements: on a connection that is gone they change nothing.
    if (this.#isLost || this.#options.signal?.aborted === true) {
      this.#isLost = true
      return
    }
    try {
      await this.#client.query('ROLLBACK')
    } catch {
      this.#isLost = true
    }
  }
}
