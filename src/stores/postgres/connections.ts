import { systemClock } from '../../kernel/clock.ts'
import { WaybillError } from '../../kernel/errors.ts'
import type { SqlExecutor } from '../../ports/sql.ts'
import type { StoreContext } from '../../ports/store.ts'
import { Connection } from './connection.ts'
import type { PgConnection, PgModule, PgNotification, PgPool } from './driver.ts'
import { driverOptions, type MovedOptions } from './moved.ts'
import type { PostgresStoreOptions } from './options.ts'
import { Pooling } from './pooling.ts'
import { tapRows } from './row-tap.ts'
import { type SuitedExecutor, unprepared } from './statement.ts'

/** How soon it is looked again for a pooler where no connection could be made. */
const learnAgainMs = 10_000

export interface ConnectionNeeds {
  /** See {@link ConnectionOptions.reconnects}. @default true */
  readonly reconnects?: boolean
  /** For statements of unknown length, as migrations are. @default the context's `statementTimeoutMs` */
  readonly timeoutMs?: number
  /** Settings besides the common ones. */
  readonly settings?: Readonly<Record<string, string>>
  /** Run on every new connection that keeps its session. */
  readonly setUp?: string
  /** For a connection that listens. */
  readonly onNotification?: (notification: PgNotification) => void
  /** `false`: a process that has nothing else to do may end. @default true */
  readonly keepsProcess?: boolean
  /** Rows of binary answers do not go through the driver: see `RowTap`. @default false */
  readonly tapsRows?: boolean
}

/** All connections of an open store: the pool of transactions, and those made for one purpose each. */
export class Connections {
  readonly #options: PostgresStoreOptions | MovedOptions
  readonly #context: StoreContext
  readonly #opened = new Set<Connection>()
  readonly #pooling: Pooling
  #ownPool: Promise<PgPool> | null = null
  /** The same, once it is there. */
  #ownPoolNow: PgPool | undefined
  #lookedAt = -Infinity

  constructor(options: PostgresStoreOptions | MovedOptions, context: StoreContext) {
    this.#options = options
    this.#context = context
    const { pooler = 'auto' } = options
    this.#pooling = new Pooling({
      // Of these connections; the pooler that is named stands before the transactions then.
      pooler: this.#hasDirectWay ? 'auto' : pooler,
      create: () => this.#client('pooler'),
      timeoutMs: context.statementTimeoutMs,
      logger: context.logger,
    })
  }

  /** Whether a pooler shares the sessions of the store's own connections with others; `false` while nobody has looked. */
  get isShared(): boolean {
    return this.#pooling.isShared === true
  }

  /**
   * A transaction of the pool's, or of a caller's, whose statements have names only where its session is known to be its own. While nobody
   * knows they have none, which is right everywhere, and it is found out meanwhile.
   */
  suited(transaction: SqlExecutor): SuitedExecutor {
    const isShared = this.#isPoolShared()
    if (isShared === false) return transaction
    if (isShared === null) void this.#learn()
    return {
      execute: ({ text, unpreparedText = text }, parameters) =>
        transaction.execute(unprepared(unpreparedText), parameters),
    }
  }

  /**
   * Whether a transaction may keep its client for the next one: nobody waits for one, and no pooler hands out another session after each
   * COMMIT.
   */
  get isPoolFree(): boolean {
    const pool = this.#givenPool ?? this.#ownPoolNow
    return this.#isPoolShared() === false && (pool?.waitingCount ?? 0) === 0
  }

  /** Whether a pooler shares the sessions of the pool's clients with others; `null` while nobody has looked. */
  #isPoolShared(): boolean | null {
    return this.#hasDirectWay ? this.#options.pooler !== 'none' : this.#pooling.isShared
  }

  /** Makes one connection to see how it is; where none can be made, again after a while. */
  async #learn(): Promise<void> {
    const now = systemClock.now()
    if (now - this.#lookedAt < learnAgainMs) return
    this.#lookedAt = now
    const connection = this.open('pooler', { keepsProcess: false })
    try {
      await connection.query({ text: 'select 1' }, 'look for a pooler')
    } catch {
      // Whoever needs the database says so.
    } finally {
      await this.close(connection)
    }
  }

  /** The pool that was passed in, or one of the store's own that pipelines. */
  pool(): Promise<PgPool> {
    if (this.#givenPool !== undefined) return Promise.resolve(this.#givenPool)
    this.#ownPool ??= this.#createPool()
    return this.#ownPool
  }

  /** A connection apart from the pool, so that relays do not use up what handlers need; made when first used. */
  open(purpose: string, needs: ConnectionNeeds = {}): Connection {
    const { lockTimeoutMs, statementTimeoutMs } = this.#context
    const { timeoutMs = statementTimeoutMs, setUp = '', settings, reconnects = true, onNotification } = needs
    const connection = new Connection({
      timeoutMs,
      reconnects,
      ...(onNotification === undefined ? {} : { onNotification }),
      pooling: this.#pooling,
      create: async () => {
        const client = await this.#client(purpose)
        if (needs.keepsProcess === false) client.unref?.()
        if (needs.tapsRows === true) tapRows(client)
        return client
      },
      // Whatever the role or database has set: text formats that are parsed here, commits that last (epochs and lines must not
      // be issued twice), statements that end, and plans by index in its order whatever the statistics of a table say that
      // was empty a minute ago or was never analysed (P10): by bitmap a read would sort the whole backlog for its first rows.
      // Without these scans costs look so high that every statement would be compiled. And what waits for a row goes on with what that
      // is then, whatever isolation is the default: in another it would fail.
      settings: {
        default_transaction_isolation: 'read committed',
        datestyle: 'ISO',
        bytea_output: 'hex',
        synchronous_commit: 'on',
        statement_timeout: timeoutMs,
        lock_timeout: lockTimeoutMs,
        enable_seqscan: 'off',
        enable_bitmapscan: 'off',
        jit: 'off',
        ...settings,
      },
      // A host that is gone is noticed, and its session lock freed, in twenty seconds.
      setUp: `set tcp_keepalives_idle to 5; set tcp_keepalives_interval to 5; set tcp_keepalives_count to 3; ${setUp}`,
    })
    this.#opened.add(connection)
    return connection
  }

  /** Lends one session for `work`, and ends it. */
  async lend<T>(
    purpose: string,
    needs: Omit<ConnectionNeeds, 'reconnects'>,
    work: (connection: Connection) => Promise<T>,
  ): Promise<T> {
    const connection = this.open(purpose, { ...needs, reconnects: false })
    try {
      return await work(connection)
    } finally {
      await this.close(connection)
    }
  }

  async close(...connections: Connection[]): Promise<void> {
    for (const connection of connections) this.#opened.delete(connection)
    await Promise.all(connections.map((connection) => connection.close()))
  }

  async closeAll(): Promise<void> {
    await this.close(...this.#opened)
    const pool = this.#ownPool
    this.#ownPool = null
    this.#ownPoolNow = undefined
    // One that could not be made holds nothing, and whoever needed it was told.
    const made = await pool?.catch(() => undefined)
    await made?.end()
  }

  async #client(purpose: string): Promise<PgConnection> {
    const { Client } = await loadDriver()
    const { applicationName, statementTimeoutMs } = this.#context
    return new Client({
      ...this.#place(),
      application_name: `${applicationName} ${purpose}`.slice(0, 63),
      keepAlive: true,
      connectionTimeoutMillis: statementTimeoutMs,
      pipeline: true,
    })
  }

  #place(): object {
    const options = this.#options
    if ('driver' in options) return options.direct ?? options.driver
    const { directConnectionString } = options
    return directConnectionString === undefined
      ? driverOptions(options)
      : { connectionString: directConnectionString }
  }

  get #givenPool(): PgPool | undefined {
    return 'driver' in this.#options ? undefined : this.#options.pool
  }

  get #hasDirectWay(): boolean {
    const options = this.#options
    return ('driver' in options ? options.direct : options.directConnectionString) !== undefined
  }

  async #createPool(): Promise<PgPool> {
    const { Pool } = await loadDriver()
    const { applicationName, statementTimeoutMs } = this.#context
    const created = new Pool({
      ...('driver' in this.#options ? this.#options.driver : driverOptions(this.#options)),
      application_name: applicationName,
      pipeline: true,
      keepAlive: true,
      connectionTimeoutMillis: statementTimeoutMs,
    })
    // The loss of an idle connection is no error of anybody's; without a listener it would end the process.
    ;(created as unknown as PgConnection).on('error', () => {})
    this.#ownPoolNow = created
    return created
  }
}

async function loadDriver(): Promise<PgModule> {
  try {
    const { default: pg } = (await import('pg')) as unknown as { default: PgModule }
    return pg
  } catch (error) {
    throw new WaybillError('WB_PEER_MISSING', 'postgresStore needs the driver: npm install pg', {
      cause: error,
    })
  }
}
