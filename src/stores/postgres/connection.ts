import { withDeadline } from '../../kernel/deadline.ts'
import { CommitOutcomeUnknownError, isWaybillError, WaybillError } from '../../kernel/errors.ts'
import type { SqlRow } from '../../ports/sql.ts'
import type { PgConnection, PgNotification, PgQuery, PgResult } from './driver.ts'
import { isConnectionLoss, isStaleSession, storeError } from './errors.ts'
import type { Pooling } from './pooling.ts'

export interface ConnectionOptions {
  /** Makes a client that is not connected yet. */
  readonly create: () => Promise<PgConnection>
  /** Values of the server's settings for all its statements. */
  readonly settings: Readonly<Record<string, string | number>>
  /** Run on every new connection before it is used, where it keeps its session. */
  readonly setUp: string
  readonly pooling: Pick<Pooling, 'judge'>
  /** The server's own time-out for each statement. */
  readonly timeoutMs: number
  /**
   * `false`: one session and no other; once it is lost every call throws. For what lives in the session, a lock or a
   * transaction: on a new connection the next statement would run without it.
   * @default true
   */
  readonly reconnects?: boolean
  readonly onNotification?: (notification: PgNotification) => void
}

/** What runs statements on a session. */
export type Queries = Pick<Connection, 'query'>

/**
 * A connection of its own that is made when first used, and anew by the call after it was lost. Every call has a time-out
 * on this side too, because a half-open connection answers nothing, not even the server's own time-outs; what timed out
 * is unknown, and its connection is given up.
 *
 * Where a pooler shares the session with others nothing may be left in it: each statement is a transaction with settings of its
 * own, and has no name.
 */
export class Connection {
  readonly #options: ConnectionOptions
  readonly #begin: string
  #client: Promise<PgConnection> | null = null
  #isShared = false
  /** Of a shared session: one transaction after another. */
  #turn: Promise<unknown> = Promise.resolve()
  /** Settled when the transaction under way has ended. */
  #transacting: Promise<void> | null = null
  #isClosed = false

  constructor(options: ConnectionOptions) {
    this.#options = options
    const local = Object.entries(options.settings).map(([name, value]) => `set local ${name} to '${value}'`)
    this.#begin = [begin, ...local].join('; ')
  }

  /** Whether its session is shared with others by a pooler, as far as is known: asked after a query it is. */
  get isShared(): boolean {
    return this.#isShared
  }

  /**
   * Statements that are one transaction of one session: on another one a later statement would run without the locks of the first.
   * One at a time, and whatever else is asked of the session waits meanwhile: a statement that came between would be part of it, and
   * answered before its COMMIT. Whatever fails, the session is given up, and what it had done is rolled back. Throws
   * `CommitOutcomeUnknownError` where COMMIT was not answered.
   */
  async transaction<T>(
    what: string,
    work: (run: <Row = SqlRow>(query: PgQuery, purpose?: string) => Promise<readonly Row[]>) => Promise<T>,
  ): Promise<T> {
    while (this.#transacting !== null) await this.#transacting
    const { promise, resolve } = Promise.withResolvers<void>()
    this.#transacting = promise
    try {
      return await this.#transact(what, work)
    } finally {
      this.#transacting = null
      resolve()
    }
  }

  async #transact<T>(
    what: string,
    work: (run: <Row = SqlRow>(query: PgQuery, purpose?: string) => Promise<readonly Row[]>) => Promise<T>,
  ): Promise<T> {
    const connecting = this.#connected(what)
    const run = async <Row>(query: PgQuery, purpose = what): Promise<readonly Row[]> => {
      const { rows } = await this.#run(purpose, connecting, (client) =>
        client.query(this.#isShared ? unnamed(query) : query),
      )
      return rows as readonly Row[]
    }
    try {
      await this.#run(what, connecting, async (client) => {
        // Behind those who were there before it: their COMMIT would end this one.
        await this.#turn
        return await client.query(this.#isShared ? this.#begin : begin)
      })
      const result = await work(run)
      await run({ text: 'commit' }).catch((error: unknown) => {
        throw isConnectionLoss(error) || isSilence(error)
          ? new CommitOutcomeUnknownError(undefined, error)
          : error
      })
      return result
    } catch (error) {
      this.#lose(connecting)
      throw error
    }
  }

  /** The rows of the answer, whose columns the caller knows. Throws `WB_STORE_UNREACHABLE`, `WB_TIMED_OUT`, `WB_STORE_CONFLICT`, `WB_SCHEMA_MISSING` or `WB_STORE_FAILED`. */
  async query<Row = SqlRow>(query: PgQuery, what: string): Promise<readonly Row[]> {
    return (await this.result(query, what)).rows as readonly Row[]
  }

  /** The same with how many rows the statement has met. */
  async result(query: PgQuery, what: string): Promise<PgResult> {
    while (this.#transacting !== null) await this.#transacting
    return await this.#run(what, this.#connected(what), (client) =>
      this.#isShared ? this.#asTransaction(client, query) : client.query(query),
    )
  }

  #connected(what: string): Promise<PgConnection> {
    if (this.#isClosed) {
      throw new WaybillError(
        'WB_STORE_UNREACHABLE',
        `Could not ${what}: its session with PostgreSQL is over.`,
        {
          retryable: 'yes',
        },
      )
    }
    return (this.#client ??= this.#connect())
  }

  async #run(
    what: string,
    connecting: Promise<PgConnection>,
    work: (client: PgConnection) => Promise<PgResult>,
  ): Promise<PgResult> {
    const { timeoutMs } = this.#options
    try {
      const client = await withDeadline(connecting, timeoutMs, 'PostgreSQL')
      // The server's own time-out comes first where the connection is sound, and says more.
      return await withDeadline(work(client), timeoutMs + 1000, 'PostgreSQL')
    } catch (error) {
      if (isSilence(error) || isConnectionLoss(error) || isStaleSession(error)) this.#lose(connecting)
      throw storeError(error, what)
    }
  }

  /** On one way: after BEGIN the session is ours up to the answer to COMMIT. */
  #asTransaction(client: PgConnection, query: PgQuery): Promise<PgResult> {
    const answered = this.#turn.then(async () => {
      const steps = [client.query(this.#begin), client.query(unnamed(query)), client.query('commit')]
      const [begun, result, ended] = await Promise.allSettled(steps)
      for (const step of [begun!, result!, ended!]) if (step.status === 'rejected') throw step.reason
      return (result as PromiseFulfilledResult<PgResult>).value
    })
    this.#turn = answered.catch(() => {})
    return answered
  }

  /** Never throws; what is under way may still end, or fail. The connection cannot be used again. */
  async close(): Promise<void> {
    this.#isClosed = true
    const connecting = this.#client
    this.#client = null
    if (connecting === null) return
    try {
      const client = await Promise.race([connecting, Promise.resolve(undefined)])
      if (client === undefined) {
        // Not there yet. Who has given it up would wait for as long as a server may take that does not answer, beside its own time.
        connecting.then(destroy).catch(() => {})
        return
      }
      await withDeadline(client.end(), 1000, 'PostgreSQL').catch(() => destroy(client))
    } catch {
      // It could not be made.
    }
  }

  #connect(): Promise<PgConnection> {
    const { create, settings, setUp, pooling, timeoutMs, onNotification } = this.#options
    const session = Object.entries(settings).map(([name, value]) => `set ${name} to '${value}'; `)
    const connecting = (async (): Promise<PgConnection> => {
      const client = await create()
      // Without a listener the loss of an idle connection would end the process.
      client.on('error', () => this.#lose(connecting))
      if (onNotification !== undefined) client.on('notification', onNotification)
      try {
        await client.connect()
        this.#isShared = await withDeadline(pooling.judge(client), timeoutMs, 'PostgreSQL')
        if (!this.#isShared)
          await withDeadline(client.query(session.join('') + setUp), timeoutMs, 'PostgreSQL')
      } catch (error) {
        // It never becomes anybody's: left open, a silent one would keep its socket, and the process, for ever.
        destroy(client)
        throw error
      }
      return client
    })()
    connecting.catch(() => this.#lose(connecting))
    return connecting
  }

  #lose(connecting: Promise<PgConnection>): void {
    if (this.#client !== connecting) return
    this.#client = null
    if (this.#options.reconnects === false) this.#isClosed = true
    // `end` would wait for the answer of what is under way, which may never come.
    connecting.then(destroy).catch(() => {})
  }
}

/** The connection may be half-open: nothing is known of what was asked on it. */
function isSilence(error: unknown): boolean {
  return isWaybillError(error) && error.code === 'WB_TIMED_OUT'
}

/** Each statement sees what was committed while the one before it waited, whatever the role or the database has set. */
const begin = 'begin isolation level read committed'

/** A prepared statement belongs to a session, and the next one may be another. The driver takes the empty name for none. */
function unnamed(query: PgQuery): PgQuery {
  return { ...query, name: '' }
}

/** Closes the socket without a goodbye. */
export function destroy(client: PgConnection): void {
  const { connection } = client as { connection?: { stream?: { destroy?: () => void } } }
  connection?.stream?.destroy?.()
}

/**
 * What is sent in this turn of the event loop leaves in one write, when nothing is left to run before the next one: BEGIN, the
 * statements that nobody awaited and COMMIT. A write for each costs a system call, and wakes the server for a part.
 */
export function corkTurn(client: PgConnection): void {
  const { connection } = client as {
    connection?: { stream?: Partial<Record<'cork' | 'uncork', () => void>> }
  }
  const stream = connection?.stream
  if (typeof stream?.cork !== 'function' || typeof stream.uncork !== 'function') return
  stream.cork()
  process.nextTick(() => stream.uncork?.())
}
