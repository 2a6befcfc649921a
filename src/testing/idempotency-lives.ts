import { fileURLToPath } from 'node:url'
import { isWaybillError, WaybillError } from '../kernel/errors.ts'
import type { SqlClient } from './idempotency-catalog.ts'
import { ownCommit, touchedOutside } from './idempotency-guard.ts'
import { SimulatedCrash, UnjudgedAttempt, type IdempotencyAttempt } from './idempotency-modes.ts'
import type { AttemptFailure, ChildNote, Setup } from './idempotency-protocol.ts'
import type { InTransaction } from './idempotency-scratch.ts'
import { spawnChild, type Child } from './child.ts'
import { until } from './until.ts'

const extension = import.meta.url.endsWith('.ts') ? 'ts' : 'js'
const script = fileURLToPath(new URL(`./idempotency-child.${extension}`, import.meta.url))

export interface LivesOptions {
  readonly setup: Setup
  readonly inTransaction: InTransaction
  /** How long one attempt may take, its handler's time-out included. */
  readonly attemptTimeoutMs: number
  readonly signal: AbortSignal
}

/** Runs attempts in child processes, one process at a time: what a handler keeps in memory ends with each. */
export class Lives {
  readonly #options: LivesOptions
  #child: Child | null = null
  #ready: Promise<Child> | null = null
  readonly #pids = new Map<number, number>()

  constructor(options: LivesOptions) {
    this.#options = options
    options.signal.addEventListener('abort', this.#onAbort)
  }

  async run(attempt: IdempotencyAttempt): Promise<void> {
    const { signal, attemptTimeoutMs } = this.#options
    const { number } = attempt
    try {
      const child = await (attempt.isNewProcess ? this.#begin() : this.#current())
      child.send({ type: 'run', number })
      this.#learnPid(child, number)
      const note = await next(child, number, ['asks', 'ended'], attemptTimeoutMs)
      if (note.type === 'asks') await this.#ask(child, attempt)
      const end = note.type === 'asks' ? await next(child, number, ['ended'], attemptTimeoutMs) : note
      if (end.type === 'ended' && end.error !== null) throw failureOf(end.error)
    } catch (error) {
      if (signal.aborted) throw new WaybillError('WB_ABORTED', 'The check was stopped before its end.')
      throw error
    }
  }

  /** Whether the attempt waits for a lock of another one. */
  async isBlocked(number: number): Promise<boolean> {
    const pid = this.#pids.get(number)
    if (pid === undefined) return false
    return await this.#options.inTransaction(async (client: SqlClient) => {
      const { rows } = await client.query('select cardinality(pg_blocking_pids($1)) > 0 as "isBlocked"', [
        pid,
      ])
      return rows[0]?.['isBlocked'] === true
    })
  }

  /** SIGKILL, and nothing of it is under way in the database any more. */
  async end(): Promise<void> {
    const child = this.#child
    this.#child = null
    await child?.kill()
    this.#pids.clear()
    if (child === null) return
    // Its last transaction is over when the server has seen that its connection is gone.
    await until('the end of what a killed process had under way', () =>
      this.#options.inTransaction(async (client) => {
        const { rows } = await client.query(heldText, [this.#options.setup.schema])
        return rows.length === 0
      }),
    )
  }

  async close(): Promise<void> {
    this.#options.signal.removeEventListener('abort', this.#onAbort)
    await this.end()
  }

  #begin(): Promise<Child> {
    // Noted at once: another attempt may be asked for before it is up.
    this.#ready = this.#start()
    return this.#ready
  }

  async #start(): Promise<Child> {
    await this.end()
    const child = spawnChild({ script, ipc: true })
    this.#child = child
    if (this.#options.signal.aborted) await child.kill()
    await child.waitForMessage<ChildNote>(({ type }) => type === 'up')
    child.send(this.#options.setup)
    await child.waitForMessage<ChildNote>(({ type }) => type === 'ready')
    return child
  }

  #current(): Promise<Child> {
    const failure = new WaybillError('WB_NOT_RUNNING', 'The attempt before has begun no process.')
    return this.#ready ?? Promise.reject(failure)
  }

  async #ask(child: Child, attempt: IdempotencyAttempt): Promise<void> {
    try {
      await attempt.beforeCommit()
    } catch (error) {
      if (error instanceof SimulatedCrash) await this.end()
      throw error
    }
    child.send({ type: 'go', number: attempt.number })
  }

  #learnPid(child: Child, number: number): void {
    const isIt = (note: ChildNote): boolean => note.type === 'begun' && note.number === number
    child.waitForMessage<ChildNote>(isIt, this.#options.attemptTimeoutMs).then(
      (note) => {
        if (note.type === 'begun' && child === this.#child) this.#pids.set(number, note.pid)
      },
      // It ended before it had a transaction, and the attempt says so.
      () => {},
    )
  }

  readonly #onAbort = (): void => {
    void this.#child?.kill()
  }
}

const heldText = `
  select from pg_locks l join pg_class c on c.oid = l.relation join pg_namespace n on n.oid = c.relnamespace
  where n.nspname = $1 and l.pid <> pg_backend_pid() and l.locktype = 'relation'`

async function next(
  child: Child,
  number: number,
  types: readonly ChildNote['type'][],
  timeoutMs: number,
): Promise<ChildNote> {
  try {
    return await child.waitForMessage<ChildNote>(
      (note) => 'number' in note && note.number === number && types.includes(note.type),
      timeoutMs,
    )
  } catch (error) {
    // Without the last lines of it: they are the service's own log.
    if (!isWaybillError(error) || error.code !== 'WB_NOT_RUNNING') throw error
    throw new Error('the process ended while the handler ran', { cause: error })
  }
}

function failureOf({ code, message, detail }: AttemptFailure): Error {
  if (code === touchedOutside) {
    return new UnjudgedAttempt(
      `it left the copies of the tables and was undone: it ${detail}. Name each table it writes in --tables, and in the ` +
        'handler without a schema (nor through a view or function with a search_path of its own)',
    )
  }
  if (code === ownCommit) return new UnjudgedAttempt(message)
  if (code === 'WB_COMMIT_OUTCOME_UNKNOWN') return new UnjudgedAttempt(message)
  return Object.assign(new Error(message), { code })
}
