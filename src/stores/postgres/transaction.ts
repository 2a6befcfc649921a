import { withDeadline } from '../../kernel/deadline.ts'
import { CommitOutcomeUnknownError, isWaybillError, WaybillError } from '../../kernel/errors.ts'
import type { SqlExecutor, SqlRow } from '../../ports/sql.ts'
import type { OpenTransaction, RunOptions, TransactionRunner } from '../../ports/transaction-runner.ts'
import { corkTurn, destroy } from './connection.ts'
import type { PgNotice, PgPooledClient } from './driver.ts'
import { lend } from './lent-client.ts'
import { isConnectionLoss, isStaleSession, storeError } from './errors.ts'

export interface TransactionLimits {
  readonly statementTimeoutMs: number
  readonly lockTimeoutMs: number
  /**
   * Whether one may be sent behind another: nobody else waits for a client, and what follows a COMMIT comes to the same session.
   * @default never
   */
  readonly mayBeFollowed?: () => boolean
}

/** In a row on one client, at most; then it goes back to its pool, which may have kept it for long enough. */
const longestRow = 100

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
  readonly #before: Transaction | undefined
  /** How many it is the last of. */
  readonly #place: number
  /** Resolves when its commit was acknowledged. */
  readonly #committed = Promise.withResolvers<void>()
  #hasSuccessor = false
  #isLost = false
  /** The next one on this session would fail as this one has. */
  #isStale = false
  #isEnded = false
  #firstError: unknown
  /** What the connection ended with. */
  #loss: Error | undefined
  #transactionId: string | undefined

  /** `before`: the one whose COMMIT has just been sent on the same client. */
  constructor(client: PgPooledClient, options: RunOptions, limits: TransactionLimits, before?: Transaction) {
    this.#client = client
    this.#options = options
    this.#limits = limits
    this.#before = before
    this.#place = before === undefined ? 1 : before.#place + 1
    this.#committed.promise.catch(() => {})
  }

  async run<T>(work: (transaction: OpenTransaction) => Promise<T>): Promise<T> {
    const client = this.#client
    client.on('error', this.#onLoss)
    const before = this.#before
    client.on('notice', this.#onNotice)
    this.#source?.on?.('errorMessage', this.#onError)
    try {
      if (client.pipeline === true) corkTurn(client)
      const begun = client.query(this.#beginText())
      // Not awaited on a pipeline: what `work` sends first travels with it. Where no answer comes, its statements get none either.
      const answered = this.#bounded(begun)
      answered.catch(() => {})
      if (client.pipeline !== true) await answered.catch(this.#failToBegin)
      const { signal } = this.#options
      const lent = lend(client)
      let result: T
      try {
        signal?.addEventListener('abort', this.#onAbort, { once: true })
        const working = work({
          handle: lent.handle,
          executor: this.#executor(),
          canBeFollowed: this.#canBeFollowed(),
          ...(before !== undefined && { predecessor: before.#committed.promise }),
        })
        result = await working.finally(lent.takeBack)
        signal?.throwIfAborted()
        // Also where its caller took no notice: it was to end here, and has not.
        const refused = lent.refused()
        if (refused !== undefined) throw refused
      } catch (error) {
        await this.#rollBack()
        throw this.#asLoss(error)
      } finally {
        signal?.removeEventListener('abort', this.#onAbort)
      }
      await this.#commit(begun)
      this.#committed.resolve()
      return result
    } catch (error) {
      this.#committed.reject(error)
      throw error
    } finally {
      client.off('error', this.#onLoss)
      client.off('notice', this.#onNotice)
      this.#source?.off?.('errorMessage', this.#onError)
      // The pool listens for errors again once it has the client back, and those of its end are nobody's.
      if (!this.#hasSuccessor) client.release(this.#isLost || this.#isStale)
      if (this.#isLost) destroy(client)
    }
  }

  get #source(): ErrorSource | undefined {
    return (this.#client as { connection?: ErrorSource }).connection
  }

  #canBeFollowed(): boolean {
    const { mayBeFollowed } = this.#limits
    return (
      this.#options.onCommitSent !== undefined &&
      this.#client.pipeline === true &&
      this.#place < longestRow &&
      mayBeFollowed?.() === true
    )
  }

  /** COMMIT has been sent: now, and not later, another may be sent behind it. */
  #handOn(): void {
    let isOver = false
    const behind: TransactionRunner = {
      run: async (options, work) => {
        if (isOver || this.#hasSuccessor || options.signal?.aborted === true) {
          throw new WaybillError(
            'WB_ABORTED',
            'The transaction was not begun: it came too late for its place.',
            {
              retryable: 'yes',
            },
          )
        }
        this.#hasSuccessor = true
        return await new Transaction(this.#client, options, this.#limits, this).run(work)
      },
    }
    try {
      this.#options.onCommitSent?.(behind)
    } catch {
      // Whatever is wrong with what was to follow, this one is judged by its own COMMIT.
    }
    isOver = true
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
      // Not kept back for what follows: that is made while the server commits.
      const committing = this.#bounded(this.#client.query('COMMIT'))
      if (this.#canBeFollowed()) this.#handOn()
      command = (await committing).command
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
      // Of what is sent on a connection that has ended the driver says no more than that: neither SQLSTATE nor reason.
      else if (this.#loss !== undefined && isConnectionLoss(error)) throw this.#loss
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

  /** COMMIT of the one before may be under way: that is not cut off, and no handler has begun here until it has ended. */
  readonly #onAbort = (): void => {
    if (this.#before === undefined) this.#lose()
    else this.#before.#committed.promise.then(this.#lose, this.#lose)
  }

  readonly #onLoss = (error: Error): void => {
    this.#isLost = true
    this.#loss ??= error
    this.#firstError ??= error
  }

  readonly #onError = (error: unknown): void => {
    this.#isStale ||= isStaleSession(error)
    this.#firstError ??= error
  }

  /** no_active_sql_transaction: COMMIT found nothing to commit. */
  readonly #onNotice = (notice: PgNotice): void => {
    if (notice.code === '25P01') this.#isEnded = true
  }
}
