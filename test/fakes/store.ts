import { WaybillError } from '../../src/kernel/errors.ts'
import { FakeCheckpoints } from './checkpoints.ts'
import type { Inbox, RefusedMessage } from '../../src/ports/inbox.ts'
import type { Loss } from '../../src/ports/outbox.ts'
import type { SqlExecutor } from '../../src/ports/sql.ts'
import type { OpenTransaction, RunOptions, TransactionRunner } from '../../src/ports/transaction-runner.ts'

/** What a handler gets as `tx` of a {@link FakeStore}. */
export interface FakeTransaction {
  write(effect: string): void
}

interface State extends FakeTransaction {
  readonly effects: string[]
  readonly noted: Set<string>
  readonly buried: RefusedMessage[]
  isOpen: boolean
  /** The one behind whose COMMIT it was sent. */
  readonly before: State | undefined
  readonly committed: PromiseWithResolvers<void>
  /** Its connection is gone, and with it what was sent behind it. */
  isLost: boolean
}

/** An inbox and transactions in memory: what a transaction wrote is there once it has committed, and not before. */
export class FakeStore {
  readonly effects: string[] = []
  readonly handled: Set<string> = new Set()
  readonly starts: Map<string, number> = new Map()
  readonly dead: RefusedMessage[] = []
  readonly losses: Loss[] = []
  /** Of the last claim of each partition. */
  readonly epochs: Map<number, bigint> = new Map()
  readonly checkpoints: FakeCheckpoints = new FakeCheckpoints()
  /** Signals of the transactions run, in order. */
  readonly signals: AbortSignal[] = []
  commits = 0
  rollbacks = 0
  isDown = false
  /** No transaction can begin, while all else works: the pool of the service is exhausted. */
  isPoolEmpty = false
  /** What `run` rejects with in place of what its work threw, as a runner does whose connection was lost. */
  runnerError: unknown
  canBury = true
  /** Each is called at one commit, before it has effect; what it throws, the commit throws. */
  readonly beforeCommit: (() => void)[] = []
  /** The same, after it had effect: an answer that is lost. */
  readonly afterCommit: (() => void)[] = []
  readonly #open = new Map<SqlExecutor, State>()

  readonly inbox: Inbox = {
    admit: (transaction, _consumer, ids) => this.#note(transaction, ids),
    take: (transaction, _consumer, rows) =>
      this.#note(
        transaction,
        rows.map(({ id }) => id),
      ),
    countStart: async (_consumer, id) => {
      this.#mustBeUp()
      const starts = (this.starts.get(id) ?? 0) + 1
      this.starts.set(id, starts)
      return starts
    },
    takeBackStart: async (_consumer, id) => {
      this.#mustBeUp()
      this.starts.set(id, (this.starts.get(id) ?? 1) - 1)
    },
    bury: async (_consumer, message, transaction) => {
      this.#mustBeUp()
      if (!this.canBury) throw new WaybillError('WB_STORE_FAILED', 'no dead letters today')
      if (this.handled.has(message.envelope.id)) return false
      if (transaction !== undefined) {
        const state = this.#open.get(transaction)!
        state.noted.add(message.envelope.id)
        state.buried.push(message)
        return true
      }
      this.handled.add(message.envelope.id)
      this.dead.push(message)
      return true
    },
    purge: async () => 0,
    holdsLease: async (_transaction, _consumer, { partition, epoch }) =>
      epoch >= (this.epochs.get(partition) ?? 0n),
    countLosses: async (_consumer, losses) => {
      this.#mustBeUp()
      this.losses.push(...losses)
    },
  }

  readonly transactions: TransactionRunner = { run: (options, work) => this.#run(options, work) }

  /** The process that has them died: its transactions roll back. */
  abandonOpen(): void {
    for (const [executor, state] of this.#open) {
      state.isOpen = false
      this.checkpoints.end(executor, false)
      this.#open.delete(executor)
    }
  }

  async #run<T>(
    options: RunOptions,
    work: (transaction: OpenTransaction) => Promise<T>,
    before?: State,
  ): Promise<T> {
    this.#mustBeUp()
    if (this.isPoolEmpty)
      throw new WaybillError('WB_TIMED_OUT', 'no connection is free', { retryable: 'yes' })
    if (options.signal !== undefined) this.signals.push(options.signal)
    const state: State = {
      effects: [],
      noted: new Set(),
      buried: [],
      isOpen: true,
      before,
      committed: Promise.withResolvers(),
      isLost: false,
      write: (effect) => {
        if (!state.isOpen) throw new Error('the transaction is over')
        state.effects.push(effect)
      },
    }
    state.committed.promise.catch(() => {})
    const executor: SqlExecutor = { execute: async () => [], transactionState: () => 'active' }
    this.#open.set(executor, state)
    const canBeFollowed = options.onCommitSent !== undefined
    try {
      const predecessor = before && { predecessor: before.committed.promise }
      const result = await work({ handle: state, executor, canBeFollowed, ...predecessor })
      if (canBeFollowed) await this.#sendCommit(options, state)
      this.#mustBeUp()
      if (!state.isOpen) throw new Error('the connection was lost')
      this.beforeCommit.shift()?.()
      this.commits += 1
      this.checkpoints.end(executor, true)
      this.dead.push(...state.buried)
      this.effects.push(...state.effects)
      for (const id of state.noted) this.handled.add(id)
      state.isLost = true
      this.afterCommit.shift()?.()
      state.isLost = false
      state.committed.resolve()
      return result
    } catch (error) {
      this.rollbacks += 1
      state.committed.reject(error)
      throw this.runnerError ?? error
    } finally {
      state.isOpen = false
      this.checkpoints.end(executor, false)
      this.#open.delete(executor)
    }
  }

  /** What is sent behind it is with the server before the server has committed. */
  async #sendCommit(options: RunOptions, state: State): Promise<void> {
    let isOver = false
    options.onCommitSent?.({
      run: (own, work) => {
        if (isOver) throw new Error('too late for its place')
        isOver = true
        return this.#run(own, work, state)
      },
    })
    isOver = true
    await new Promise((resolve) => setImmediate(resolve))
  }

  async #note(transaction: SqlExecutor, ids: readonly string[]): Promise<ReadonlySet<string>> {
    const state = this.#open.get(transaction)
    if (state === undefined) throw new Error('admission outside a transaction')
    await state.before?.committed.promise.catch(() => {})
    if (state.before?.isLost === true) throw new Error('the connection was lost')
    const fresh = new Set(ids.filter((id) => !this.handled.has(id)))
    for (const id of fresh) state.noted.add(id)
    return fresh
  }

  #mustBeUp(): void {
    if (this.isDown) throw new WaybillError('WB_STORE_UNREACHABLE', 'the store is down', { retryable: 'yes' })
  }
}
