import { withDeadline } from '../../kernel/deadline.ts'
import { CommitOutcomeUnknownError, isWaybillError, WaybillError } from '../../kernel/errors.ts'
import type { SqlExecutor, SqlRow } from '../../ports/sql.ts'
import type { OpenTransaction, RunOptions } from '../../ports/transaction-runner.ts'
import { corkTurn, destroy } from './connection.ts'
import type { PgNotice, PgPooledClient } from './driver.ts'
import { isConnectionLoss, storeError } from './errors.ts'

export interface TransactionLimits {
  readonly statementTimeoutMs: number
  readonly lockTimeoutMs: number
}

/** The part of a `pg` client that tells of failed statements, also of those whose promise only their caller has. */
interface ErrorSource {
  on?(event: 'errorMessage', listener: (error: unknown) => void): unknown
  off?(event: 'errorMessage', listener: (error: unknown) => void): unknown
}

/** One transaction on a client that was borrowed for it, from BEGIN to the client's return. */
export class Transaction {
  readonly #client: PgPooledClient
  readonly #options: RunOptions
  readonly #limits: TransactionLimits
  #isLost = false
  #isEnded = false
  #firstError: unknown
  #transactionId: string | undefined

  constructor(client: PgPooledClient, options: RunOptions, limits: TransactionLimits) {
    this.#client = client
    this.#options = options
    this.#limits = limits
  }

  async run<T>(work: (transaction: OpenTransaction) => Promise<T>): Promise<T> {
    const client = this.#client
    const source = (client as { connection?: ErrorSource }).connection
    client.on('error', this.#onLoss)
    client.on('notice', this.#onNotice)
    source?.on?.('errorMessage', this.#onError)
    try {
      if (client.pipeline === true) corkTurn(client)
      const begun = client.query(this.#beginText())
      // Not awaited on a pipeline: what `work` sends first travels with it. Where no answer comes, its statements get none either.
      const answered = this.#bounded(begun)
      answered.catch(() => {})
      if (client.pipeline !== true) await answered.catch(this.#failToBegin)
      const { signal } = this.#options
      let result: T
      try {
        signal?.addEventListener('abort', this.#lose, { once: true })
        result = await work({ handle: client, executor: this.#executor() })
        signal?.throwIfAborted()
      } catch (error) {
        await this.#rollBack()
        throw this.#asLoss(error)
      } finally {
        signal?.removeEventListener('abort', this.#lose)
      }
      await this.#commit(begun)
      return result
    } finally {
      client.off('error', this.#onLoss)
      client.off('notice', this.#onNotice)
      source?.off?.('errorMessage', this.#onError)
      // The pool listens for errors again once it has the client back, and those of its end are nobody's.
      client.release(this.#isLost)
      if (this.#isLost) destroy(client)
    }
  }

  #beginText(): string {
    const idleMs = Math.max(1, Math.round(this.#options.idleTimeoutMs))
    return (
      `BEGIN; SET LOCAL idle_in_transaction_session_timeout = ${idleMs}; ` +
      `SET LOCAL lock_timeout = ${Math.round(this.#limits.lockTimeoutMs)}`
    )
  }

  #executor(): SqlExecutor {
    return {
      execute: async (statement, parameters) => {
        const query = { name: statement.name, text: statement.text, values: [...parameters] }
        const rows: readonly SqlRow[] = (await this.#bounded(this.#client.query(query))).rows
        // Learned in passing, so that a commit whose answer is lost can be asked after (F2).
        const xid = rows.length === 1 ? rows[0]!['xid'] : undefined
        if (typeof xid === 'string') this.#transactionId = xid
        return rows
      },
      // A transaction of ours is active from its first moment: BEGIN is sent before anything else can be.
      transactionState: () => (this.#client.getTransactionStatus() === 'E' ? 'failed' : 'active'),
    }
  }

  async #commit(begun: Promise<unknown>): Promise<void> {
    if (this.#isLost) {
      throw new WaybillError(
        'WB_STORE_UNREACHABLE',
        'The transaction rolled back: its connection was lost before COMMIT was sent. Run it again.',
        { cause: this.#firstError, retryable: 'yes' },
      )
    }
    let command: string
    try {
      command = (await this.#bounded(this.#client.query('COMMIT'))).command
    } catch (error) {
      // A refused COMMIT (a deferred constraint, a serialisation failure) has rolled back, and the driver's own error says
      // why; a lost or late answer tells nothing.
      this.#isLost ||= isConnectionLoss(error) || isWaybillError(error)
      if (!this.#isLost) throw error
      throw new CommitOutcomeUnknownError(this.#transactionId, error)
    }
    await begun.catch(this.#failToBegin)
    if (command !== 'COMMIT') {
      throw new WaybillError(
        'WB_TRANSACTION_ROLLED_BACK',
        'The transaction rolled back, because one of its statements had failed: nothing of it is stored.',
        { cause: this.#firstError, retryable: 'unknown' },
      )
    }
    if (this.#isEnded) {
      throw new WaybillError(
        'WB_NO_TRANSACTION',
        'The transaction was ended by a COMMIT or ROLLBACK of its own; what came after it was outside any transaction. ' +
          'Leave both to Waybill.',
      )
    }
  }

  async #rollBack(): Promise<void> {
    if (this.#isLost) return
    await this.#bounded(this.#client.query('ROLLBACK')).catch(this.#lose)
  }

  /**
   * The answer, or a failure once the server must have ended the statement itself if it could. The connection is silent then, and
   * is given up with everything that waits for an answer on it, statements of `work` too.
   */
  async #bounded<A>(answer: Promise<A>): Promise<A> {
    const limitMs = Math.max(this.#limits.statementTimeoutMs, this.#options.idleTimeoutMs) + 1000
    try {
      return await withDeadline(answer, limitMs, 'PostgreSQL')
    } catch (error) {
      if (isWaybillError(error)) this.#lose()
      throw error
    }
  }

  #asLoss(error: unknown): unknown {
    if (!this.#isLost || this.#options.signal?.aborted === true || isWaybillError(error)) return error
    return new WaybillError(
      'WB_STORE_UNREACHABLE',
      'The transaction rolled back: its connection to PostgreSQL was lost. Run it again.',
      { cause: error, retryable: 'yes' },
    )
  }

  readonly #failToBegin = (error: unknown): never => {
    this.#isLost ||= isConnectionLoss(error) || isWaybillError(error)
    throw storeError(error, 'begin a transaction')
  }

  /**
   * Ends the connection, and with it what is under way. An abort does so at once: work that was told to stop may still send
   * statements, and on a connection that is gone they change nothing.
   */
  readonly #lose = (): void => {
    this.#isLost = true
    destroy(this.#client)
  }

  readonly #onLoss = (error: unknown): void => {
    this.#isLost = true
    this.#firstError ??= error
  }

  readonly #onError = (error: unknown): void => {
    this.#firstError ??= error
  }

  /** no_active_sql_transaction: COMMIT found nothing to commit. */
  readonly #onNotice = (notice: PgNotice): void => {
    if (notice.code === '25P01') this.#isEnded = true
  }
}
