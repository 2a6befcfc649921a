import { withDeadline } from '../../kernel/deadline.ts'
import type { Logger } from '../../kernel/logger.ts'
import { destroy } from './connection.ts'
import type { PgConnection } from './driver.ts'

export interface PoolingOptions {
  /** `auto`: found out by the first connection. */
  readonly pooler: 'auto' | 'transaction' | 'none'
  /** A client that is not connected yet. */
  readonly create: () => Promise<PgConnection>
  /** How long a look at a second connection may take. */
  readonly timeoutMs: number
  readonly logger: Logger
}

/** Looks in which a pooler that gives sessions away after each transaction shows itself, however busy it is. */
const mostLooks = 10

/**
 * Whether connections keep their session. Behind a pooler in transaction mode two transactions of one connection may run in two
 * sessions: what was set, locked, prepared or listened to in the first is not there in the second, and is there for a stranger.
 */
export class Pooling {
  readonly #options: PoolingOptions
  #isShared: boolean | null
  #judging: Promise<boolean> | null = null

  constructor(options: PoolingOptions) {
    this.#options = options
    this.#isShared = options.pooler === 'auto' ? null : options.pooler === 'transaction'
    if (this.#isShared === true) this.#warn()
  }

  /** `null` while nobody has looked. */
  get isShared(): boolean | null {
    return this.#isShared
  }

  /** `client` is connected and has nothing under way. Throws what its connection throws; the next one looks again. */
  async judge(client: PgConnection): Promise<boolean> {
    if (this.#isShared !== null) return this.#isShared
    this.#judging ??= this.#look(client).finally(() => {
      this.#judging = null
    })
    return await this.#judging
  }

  async #look(client: PgConnection): Promise<boolean> {
    const isShared = (client.processID ?? undefined) !== undefined && (await this.#isGivenAway(client))
    if (isShared && this.#isShared === null) this.#warn()
    this.#isShared = isShared
    return isShared
  }

  /**
   * A server tells each connection the process that serves it; a pooler makes that number up. So where it is the one that statements
   * run in, nothing stands between, or only what passes bytes on. Else the pooler is told from one that gives a session to one
   * connection for good (session mode) by a second connection: there they never have the same process, and each keeps its own.
   */
  async #isGivenAway(client: PgConnection): Promise<boolean> {
    const first = await processOf(client)
    if (first === client.processID) return false
    const second = await this.#options.create()
    second.on('error', () => {})
    let isGivenAway: boolean
    try {
      await second.connect()
      // Everybody waits for this answer, and nobody else would notice that the connection is half-open.
      const looks = takesTurns(client, first, second)
      isGivenAway = await withDeadline(looks, this.#options.timeoutMs, 'PostgreSQL')
    } catch (error) {
      destroy(second)
      throw error
    }
    await withDeadline(second.end(), 1000, 'PostgreSQL').catch(() => destroy(second))
    return isGivenAway
  }

  #warn(): void {
    this.#options.logger.warn(
      {},
      'PostgreSQL is behind a pooler in transaction mode. Everything works, with this difference: a relay that was killed is replaced ' +
        'when its leases end (leaseMs) and not at once, what other processes publish is found by polling and not told, and ' +
        'statements are not prepared. Give postgresStore a directConnectionString past the pooler to have them.',
    )
  }
}

/** Whether `client`, served by process `first` before, is given another one, or that of `second`. */
async function takesTurns(client: PgConnection, first: number, second: PgConnection): Promise<boolean> {
  for (let look = 0; look < mostLooks; look++) {
    const others = await processOf(second)
    const own = await processOf(client)
    if (own === others || own !== first) return true
  }
  return false
}

async function processOf(client: PgConnection): Promise<number> {
  const { rows } = await client.query('select pg_backend_pid() as pid')
  return (rows[0] as { pid: number }).pid
}
