import { randomUUID } from 'node:crypto'
import { systemClock } from '../../kernel/clock.ts'
import { newMessageId } from '../../kernel/ids.ts'
import { silentLogger } from '../../kernel/logger.ts'
import { headersFrom } from '../../kernel/message.ts'
import type { LeaseSession } from '../../ports/leases.ts'
import type { Outbox } from '../../ports/outbox.ts'
import type { NewMessage } from '../../ports/outbox-writer.ts'
import type { SqlExecutor } from '../../ports/sql.ts'
import type { Store, StoreDefinition } from '../../ports/store.ts'
import { until } from '../until.ts'
import { LaneReader } from './lane-reader.ts'

export interface StoreConformanceOptions {
  /** As a configuration names it, over a database that may be written to; each case opens it for itself, and migrates. */
  readonly store: StoreDefinition
  /** How long a case waits for anything, in milliseconds. @default 20000 */
  readonly timeoutMs?: number
  /**
   * Whether a transaction waits for another one at this moment, by the server's own word.
   * @default nobody knows, and what should wait is given 100 ms to come too early; on a slow machine a mistake may need longer
   */
  readonly isWaiting?: () => Promise<boolean>
}

/** A transport with one channel of its own, so that cases do not meet in one database. */
export interface Street {
  readonly transport: string
  readonly channel: string
}

/** A relay's hands on a lane, all of its partitions leased. */
export interface Desk {
  readonly outbox: Outbox
  readonly leases: LeaseSession
  readonly reader: LaneReader
  epochOf(partition: number): bigint
}

/** How long what should wait for another is given to come too early, where no server tells. */
const graceMs = 100

/** What one case works with. */
export class StoreScene {
  readonly timeoutMs: number
  readonly #options: StoreConformanceOptions
  readonly #closing: (() => Promise<void>)[] = []

  constructor(options: StoreConformanceOptions) {
    this.#options = options
    this.timeoutMs = options.timeoutMs ?? 20_000
  }

  async open(): Promise<Store> {
    const store = this.#options.store.open({
      logger: silentLogger,
      applicationName: 'waybill conformance',
      statementTimeoutMs: this.timeoutMs,
      lockTimeoutMs: this.timeoutMs,
      leaseMs: 10_000,
    })
    this.#closing.push(() => store.close())
    await store.schema.migrate()
    return store
  }

  async street(
    store: Store,
    options: {
      readonly ordered?: boolean
      readonly consumers?: readonly string[]
      readonly partitions?: number
    } = {},
  ): Promise<Street> {
    const { ordered = true, consumers = [], partitions = 2 } = options
    const street = { transport: `transport-${randomUUID()}`, channel: `channel-${randomUUID()}` }
    await store.schema.register(
      [{ ...street, address: street.channel, ordered, maxBytes: 1000 }],
      consumers.map((consumer) => ({ consumer, channels: [street.channel] })),
      partitions,
    )
    return street
  }

  async desk(store: Store, { transport, channel }: Street, consumer = ''): Promise<Desk> {
    const lane = { transport, consumer }
    const outbox = await store.openOutbox(lane)
    this.#closing.push(() => outbox.close())
    const leases = await store.openLeases(lane)
    this.#closing.push(() => leases.close())
    const held = new Map((await leases.claim(1000)).map(({ partition, epoch }) => [partition, epoch]))
    const reader = new LaneReader(outbox, [...held.keys()], [channel])
    return { outbox, leases, reader, epochOf: (partition) => held.get(partition)! }
  }

  /** Runs `work` in a transaction of the store's own. */
  async transaction<T>(store: Store, work: (executor: SqlExecutor) => Promise<T>): Promise<T> {
    return await store.transactions.run({ idleTimeoutMs: this.timeoutMs }, ({ executor }) => work(executor))
  }

  /** Publishes in a transaction of its own; the ids in order. */
  async publish(
    store: Store,
    { channel }: Street,
    ...messages: readonly NewMessage[]
  ): Promise<readonly string[]> {
    await this.transaction(store, (executor) => store.writer.append(executor, channel, messages, null))
    return messages.map(({ id }) => id)
  }

  /** A transaction that stands open after its work until it is told to end. */
  async openTransaction(store: Store, work: (executor: SqlExecutor) => Promise<unknown>): Promise<Held> {
    const begun = Promise.withResolvers<SqlExecutor>()
    const end = Promise.withResolvers<void>()
    const ended = this.transaction(store, async (executor) => {
      await work(executor)
      begun.resolve(executor)
      await end.promise
    })
    ended.catch((error: unknown) => begun.reject(error))
    const executor = await begun.promise
    const finish = async (close: () => void): Promise<void> => {
      close()
      await ended.catch(() => {})
    }
    // What still stands open when the case has failed would hold its locks for ever.
    this.#closing.push(() => finish(() => end.reject(new Error('the case has ended'))))
    return {
      executor,
      async commit() {
        end.resolve()
        await ended
      },
      rollBack: () => finish(() => end.reject(new Error('rolled back'))),
    }
  }

  /** Resolves when `work` waits for another transaction, or has ended without having waited. */
  async untilWaits(work: Promise<unknown>): Promise<void> {
    const { isWaiting } = this.#options
    let hasEnded = false
    const ended = work.then(
      () => void (hasEnded = true),
      () => void (hasEnded = true),
    )
    if (isWaiting === undefined) {
      const over = new AbortController()
      await Promise.race([ended, systemClock.sleep(graceMs, over.signal)])
      over.abort()
      return
    }
    const isTold = async (): Promise<boolean> => hasEnded || (await isWaiting())
    await until('one that waits for another', isTold, { timeoutMs: this.timeoutMs })
  }

  async clear(): Promise<void> {
    const closing = this.#closing.splice(0).toReversed()
    for (const close of closing) await close()
  }
}

export interface Held {
  readonly executor: SqlExecutor
  commit(): Promise<void>
  rollBack(): Promise<void>
}

export function messageOf(key: string | null, text = 'payload'): NewMessage {
  const payload = new TextEncoder().encode(text)
  return { id: newMessageId(), key, payload, contentType: 'text/plain', headers: headersFrom([]) }
}

export function idsOf(rows: readonly { readonly id: string }[]): readonly string[] {
  return rows.map(({ id }) => id)
}
