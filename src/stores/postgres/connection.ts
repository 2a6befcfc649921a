import { withDeadline } from '../../kernel/deadline.ts'
import { isWaybillError } from '../../kernel/errors.ts'
import type { PgConnection, PgQuery, PgResult } from './driver.ts'
import { storeError } from './errors.ts'

export interface ConnectionOptions {
  /** Makes a client that is not connected yet. */
  readonly create: () => Promise<PgConnection>
  /** Run on every new connection before it is used. */
  readonly setUp: string
  readonly timeoutMs: number
}

/**
 * A connection of its own that is made when first used, and anew by the call after it was lost. Every call has a time-out
 * on this side too, because a half-open connection answers nothing, not even the server's own time-outs; what timed out
 * is unknown, and its connection is given up.
 */
export class Connection {
  readonly #options: ConnectionOptions
  #client: Promise<PgConnection> | null = null

  constructor(options: ConnectionOptions) {
    this.#options = options
  }

  get isConnected(): boolean {
    return this.#client !== null
  }

  async query(query: PgQuery, what: string): Promise<PgResult> {
    const { timeoutMs } = this.#options
    const connecting = (this.#client ??= this.#connect())
    connecting.catch(() => {
      if (this.#client === connecting) this.#client = null
    })
    try {
      const client = await withDeadline(connecting, timeoutMs, 'PostgreSQL')
      // The server's own time-out comes first where the connection is sound, and says more.
      return await withDeadline(client.query(query), timeoutMs + 1000, 'PostgreSQL')
    } catch (error) {
      const mapped = storeError(error, what)
      const isLost = mapped.code === 'WB_STORE_UNREACHABLE' || (isWaybillError(error) && error.code === 'WB_TIMED_OUT')
      if (isLost && this.#client === connecting) this.#giveUp(connecting)
      throw mapped
    }
  }

  async close(): Promise<void> {
    const connecting = this.#client
    this.#client = null
    if (connecting === null) return
    try {
      const client = await withDeadline(connecting, this.#options.timeoutMs, 'PostgreSQL')
      await withDeadline(client.end(), 1000, 'PostgreSQL')
    } catch {
      // It is gone already, or does not answer: there is nothing left to close.
    }
  }

  async #connect(): Promise<PgConnection> {
    const client = await this.#options.create()
    const forget = (): void => {
      if (this.#client === connecting) this.#client = null
    }
    // Without a listener the loss of an idle connection would end the process.
    client.on('error', forget)
    const connecting = this.#client
    await client.connect()
    await client.query(this.#options.setUp)
    return client
  }

  #giveUp(connecting: Promise<PgConnection>): void {
    this.#client = null
    // `end` waits for the answer of what is under way, which may never come.
    connecting.then((client) => destroy(client)).catch(() => {})
  }
}

/** Closes the socket without a goodbye. */
export function destroy(client: PgConnection): void {
  client.on('error', () => {})
  const { connection } = client as { connection?: { stream?: { destroy?: () => void } } }
  connection?.stream?.destroy?.()
}
