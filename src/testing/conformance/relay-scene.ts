import { randomUUID } from 'node:crypto'
import type { WaybillConfig } from '../../app/config.ts'
import { createWaybill } from '../../app/create-waybill.ts'
import type { Waybill } from '../../app/waybill.ts'
import { silentLogger } from '../../kernel/logger.ts'
import { type Channel, defineChannel } from '../../outbox/channel.ts'
import type { StoreDefinition } from '../../ports/store.ts'
import type { Fate, OutboundMessage, TransportDefinition } from '../../ports/transport.ts'
import { until } from '../until.ts'

export interface RelayConformanceOptions {
  /** As a configuration names it, over a database that may be written to. */
  readonly store: StoreDefinition
  /**
   * Starts a relay of this configuration, in this process, since its transport is here. Each call is another relay.
   * @default the relay of `createWaybill`
   */
  readonly startRelay?: (config: WaybillConfig) => Promise<{ stop(): Promise<void> }>
  /** How long a case waits for anything, in milliseconds. @default 20000 */
  readonly timeoutMs?: number
}

export interface Numbered {
  readonly key: string
  /** Counts up in each key. */
  readonly place: number
}

/** One send of a message, as the transport had it. */
export interface Sent extends Numbered {
  readonly id: string
  /** Of the relay that sent it. */
  readonly relay: number
  /** What that was told. */
  isConfirmed: boolean
}

/** Of the channel. */
export const maxAttempts = 3

/** One channel of its own, and a transport in memory that writes down what it is given. */
export class RelayScene {
  readonly timeoutMs: number
  readonly channel: Channel<Numbered>
  readonly sent: Sent[] = []
  /** What becomes of a send. */
  fateOf: (sent: Sent) => Fate = () => ({ outcome: 'confirmed' })
  readonly #options: RelayConformanceOptions
  readonly #transport = `transport-${randomUUID()}`
  readonly #closing: (() => Promise<void>)[] = []
  readonly #waybill: Waybill<never>
  #relays = 0

  constructor(
    options: RelayConformanceOptions,
    guarantee: 'at-least-once' | 'at-most-once' = 'at-least-once',
  ) {
    this.#options = options
    this.timeoutMs = options.timeoutMs ?? 20_000
    const name = `channel-${randomUUID()}`
    const key = ({ key }: Numbered): string => key
    this.channel =
      guarantee === 'at-most-once'
        ? defineChannel<Numbered>({ name, key, guarantee })
        : defineChannel<Numbered>({ name, key, maxAttempts })
    this.#waybill = createWaybill(this.#config(0)) as Waybill<never>
    this.#closing.push(() => this.#waybill.stop())
  }

  async migrate(): Promise<void> {
    await this.#waybill.migrate()
  }

  get deadLetters(): Waybill['deadLetters'] {
    return this.#waybill.deadLetters
  }

  /** In one transaction, whose end can be waited with. */
  async publish(
    messages: readonly Numbered[],
    beforeEnd: () => Promise<void> = async () => {},
  ): Promise<void> {
    await this.#waybill.transaction(async (tx) => {
      for (const message of messages) await this.#waybill.publish(tx, this.channel, message)
      await beforeEnd()
    })
  }

  async startRelay(): Promise<{ readonly number: number; stop(): Promise<void> }> {
    const number = ++this.#relays
    const start = this.#options.startRelay ?? startOwn
    const relay = await start(this.#config(number))
    this.#closing.push(() => relay.stop())
    return { number, stop: () => relay.stop() }
  }

  /** Waits until the transport has been given so many messages, repeats not counted. */
  async untilSent(count: number): Promise<void> {
    const isThere = (): boolean => new Set(this.sent.map(({ id }) => id)).size >= count
    await until(`${count} messages`, isThere, { timeoutMs: this.timeoutMs })
  }

  async clear(): Promise<void> {
    const closing = this.#closing.splice(0).toReversed()
    for (const close of closing) await close()
  }

  #config(relay: number): WaybillConfig {
    return {
      store: this.#options.store,
      transports: { [this.#transport]: this.#counting(relay) },
      channels: [this.channel],
      logger: silentLogger,
      pollMaxMs: 50,
      retryInitialMs: 10,
      holdInitialMs: 10,
      batchSize: 20,
      readLimit: 20,
    }
  }

  #counting(relay: number): TransportDefinition {
    const kind = 'counting'
    const capabilities = {
      ...{ ordersBatch: true, isLocal: false, maxBytes: 1_000_000, confirms: true, dispatches: true },
      ...{ fences: false, transforms: false, keepsOrder: true, settles: true, seeks: false },
      ...{ redeliveryMs: 0, deduplicatesMs: null, transactionTimeoutMs: null, producerExpiryMs: null },
    }
    const note = (batch: readonly OutboundMessage[]): readonly Sent[] => {
      const sent = batch.map(({ envelope: { id, payload } }) => {
        const { key, place } = JSON.parse(new TextDecoder().decode(payload)) as Numbered
        return { key, place, id, relay, isConfirmed: false }
      })
      this.sent.push(...sent)
      return sent
    }
    return {
      kind,
      capabilities,
      open: () => ({
        kind,
        capabilities,
        openPublisher: async () => ({
          publish: async (batch) => {
            // A batch that is confirmed fails as a suffix of each key, as its capability says.
            const failed = new Set<string>()
            return note(batch).map((sent) => {
              const fate = failed.has(sent.key) ? behind : this.fateOf(sent)
              sent.isConfirmed = fate.outcome === 'confirmed'
              if (!sent.isConfirmed) failed.add(sent.key)
              return fate
            })
          },
          close: async () => {},
        }),
        openDispatcher: async () => ({
          dispatch: async (batch) => note(batch).map(() => ({ outcome: 'dispatched' })),
          isReady: async () => true,
          close: async () => {},
        }),
        close: async () => {},
      }),
    }
  }
}

const behind: Fate = {
  outcome: 'rejected',
  scope: 'message',
  retryable: true,
  code: 'WB_ABORTED',
  reason: 'One before it in its key failed.',
}

async function startOwn(config: WaybillConfig): Promise<{ stop(): Promise<void> }> {
  const waybill = createWaybill(config)
  await waybill.start()
  return waybill
}
