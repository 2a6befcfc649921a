import { randomInt } from 'node:crypto'
import type { Waybill } from '../app/waybill.ts'
import type { TransportCapabilities } from '../kernel/capabilities.ts'
import { systemClock } from '../kernel/clock.ts'
import { WaybillError } from '../kernel/errors.ts'
import type {
  Dispatcher,
  Fate,
  OutboundMessage,
  Publisher,
  SubscribeRequest,
  Subscription,
  TransportDefinition,
} from '../ports/transport.ts'
import { type Chance, chanceOf } from './chance.ts'
import { Group } from './memory/group.ts'
import { Records } from './memory/records.ts'
import { until, type UntilOptions } from './until.ts'

export interface ChaosOptions {
  /** What it does is drawn from it, message by message as they are sent. @default drawn, logged, and told by the transport */
  readonly seed?: number
  /** Which part of all messages comes a second time, from 0 to 1. @default 0.3 */
  readonly duplicates?: number
  /** A message, or a copy, is handed over after so long at most, in milliseconds. What came later may overtake it. @default 20 */
  readonly delayMs?: number
  /** Whether messages of one key keep their order; their copies never do. @default true */
  readonly keepsOrder?: boolean
}

/** What it has done so far: a test that needs it to have done something can tell. */
export interface ChaosCounts {
  /** Messages, without copies. */
  readonly sent: number
  readonly copies: number
  /** Handed over while something that had been sent before waited. */
  readonly overtaking: number
}

export interface ChaosTransport extends TransportDefinition {
  readonly seed: number
  readonly counts: ChaosCounts
  /**
   * Everything that was sent was handed over, copies too, and is settled by every consumer; at most once that is before its handler has
   * run. What waits in an outbox was not sent yet: see `untilQuiet`.
   */
  readonly isQuiet: boolean
  /**
   * Resolves when it is quiet and nothing is left in the outbox of this instance, nor of what its handlers have published meanwhile. A relay
   * of it has to run. What is delayed is waited for until its time.
   *
   * Rejects as `until` and `drain` do.
   */
  untilQuiet(waybill: Pick<Waybill, 'drain'>, options?: UntilOptions): Promise<void>
}

/**
 * A broker in this process that duplicates, delays and reorders (F26), for tests with a real store: what it is given lasts as
 * long as the process does. Instances that share the definition share the broker; of those with one consumer the latest has all of its
 * messages, and takes over without waiting what the one before had not settled, until it closes. It declares what it does, so a guarantee that
 * could not hold over such a broker is refused: at-most-once where it makes copies, order where it keeps none, and positions.
 *
 * Throws `WB_INVALID_OPTION`.
 */
export function chaosTransport(options: ChaosOptions = {}): ChaosTransport {
  const { seed = randomInt(2 ** 31), duplicates = 0.3, delayMs = 20, keepsOrder = true } = options
  if (!(duplicates >= 0 && duplicates <= 1)) refuse('`duplicates` must be a number from 0 to 1.')
  if (!(delayMs >= 0 && Number.isFinite(delayMs))) refuse('`delayMs` must be a number from 0.')
  const chaos = new Chaos({ chance: chanceOf(seed), duplicates, delayMs, keepsOrder })
  const kind = 'chaos'
  const capabilities: TransportCapabilities = {
    ordersBatch: keepsOrder,
    isLocal: false,
    maxBytes: 1_048_576,
    confirms: true,
    // What it makes two of has been sent twice, whoever did it.
    dispatches: duplicates === 0,
    fences: false,
    transforms: false,
    keepsOrder,
    settles: true,
    seeks: false,
    redeliveryMs: 2 * delayMs,
    deduplicatesMs: null,
    transactionTimeoutMs: null,
    producerExpiryMs: null,
  }
  return {
    kind,
    capabilities,
    seed,
    get counts() {
      return chaos.counts
    },
    get isQuiet() {
      return chaos.isQuiet
    },
    untilQuiet: (waybill, limits) => untilQuiet(chaos, waybill, limits),
    open({ logger }) {
      logger.info(
        { seed, duplicates, delayMs, keepsOrder },
        'a chaos transport: the same seed draws the same again',
      )
      return {
        kind,
        capabilities,
        openPublisher: async () => publisherOf(chaos, capabilities),
        ...(capabilities.dispatches && { openDispatcher: async () => dispatcherOf(chaos, capabilities) }),
        subscribe: async (request) => chaos.subscribe(request),
        close: async () => {},
      }
    },
  }
}

async function untilQuiet(
  chaos: Chaos,
  waybill: Pick<Waybill, 'drain'>,
  options: UntilOptions = {},
): Promise<void> {
  const { timeoutMs = 60_000, signal } = options
  const isOver = async (): Promise<boolean> => {
    const { isQuiet, counts } = chaos
    const { remains } = await waybill.drain({ limitMs: timeoutMs, ...(signal && { signal }) })
    // What handlers publish is in the outbox before their messages are settled: if nothing came of that, there is none.
    return isQuiet && remains.length === 0 && chaos.counts.sent === counts.sent
  }
  await until('the end of all that was published', isOver, { ...options, timeoutMs })
}

function refuse(sentence: string): never {
  throw new WaybillError('WB_INVALID_OPTION', `chaosTransport: ${sentence}`)
}

const tooLarge = {
  code: 'WB_MESSAGE_TOO_LARGE',
  reason: 'It is larger than the transport takes.',
} as const
const closed = { code: 'WB_ABORTED', reason: 'The transport is closed.' } as const

function publisherOf(chaos: Chaos, { maxBytes }: TransportCapabilities): Publisher {
  let isClosed = false
  return {
    async publish(batch) {
      const fates = batch.map(({ envelope }): Fate => {
        if (isClosed) return { outcome: 'rejected', scope: 'send', retryable: true, ...closed }
        if (envelope.payload.length <= maxBytes) return { outcome: 'confirmed' }
        return { outcome: 'rejected', scope: 'message', retryable: false, ...tooLarge }
      })
      chaos.send(batch.filter((_, i) => fates[i]!.outcome === 'confirmed'))
      return fates
    },
    close: async () => void (isClosed = true),
  }
}

function dispatcherOf(chaos: Chaos, { maxBytes }: TransportCapabilities): Dispatcher {
  let isClosed = false
  const fault = ({ envelope }: OutboundMessage): typeof closed | typeof tooLarge | null => {
    if (isClosed) return closed
    return envelope.payload.length <= maxBytes ? null : tooLarge
  }
  return {
    isReady: async () => !isClosed,
    async dispatch(batch) {
      chaos.send(batch.filter((message) => fault(message) === null))
      return batch.map((message) => {
        const found = fault(message)
        return found === null ? { outcome: 'dispatched' } : { outcome: 'dropped', ...found }
      })
    },
    close: async () => void (isClosed = true),
  }
}

interface Waiting {
  readonly message: OutboundMessage
  readonly dueAt: number
  readonly number: number
}

interface ChaosParts extends Required<Pick<ChaosOptions, 'duplicates' | 'delayMs' | 'keepsOrder'>> {
  readonly chance: Chance
}

class Chaos {
  readonly #parts: ChaosParts
  readonly #groups = new Map<string, { readonly group: Group; readonly addresses: ReadonlySet<string> }>()
  /** In the order in which they were handed over: consumers that come later get them too. */
  readonly #log: OutboundMessage[] = []
  /** When the last of each key is due. */
  readonly #lastDue = new Map<string, number>()
  #waiting: Waiting[] = []
  #counts: ChaosCounts = { sent: 0, copies: 0, overtaking: 0 }
  #number = 0

  constructor(parts: ChaosParts) {
    this.#parts = parts
  }

  get counts(): ChaosCounts {
    return this.#counts
  }

  get isQuiet(): boolean {
    return this.#waiting.length === 0 && [...this.#groups.values()].every(({ group }) => group.isSettled)
  }

  send(batch: readonly OutboundMessage[]): void {
    const { chance, duplicates, delayMs, keepsOrder } = this.#parts
    const now = systemClock.now()
    for (const message of batch) {
      const { channel, key } = message.envelope
      const line = `${channel}\0${key}`
      const drawn = now + chance() * delayMs
      const isKept = keepsOrder && key !== null
      const dueAt = isKept ? Math.max(drawn, this.#lastDue.get(line) ?? 0) : drawn
      if (isKept) this.#lastDue.set(line, dueAt)
      const isCopied = chance() < duplicates
      this.#wait(message, dueAt)
      // Behind the first, as what is sent again is.
      if (isCopied) this.#wait(message, dueAt + chance() * delayMs)
      const { sent, copies } = this.#counts
      this.#counts = { ...this.#counts, sent: sent + 1, copies: copies + (isCopied ? 1 : 0) }
    }
  }

  subscribe(request: SubscribeRequest): Subscription {
    const { consumer, channels } = request
    const addresses = new Set(channels.map(({ address }) => address))
    const known = this.#groups.get(consumer)?.group
    const group = known ?? new Group({ consumer, records: new Records(() => null), publish: () => {} })
    this.#groups.set(consumer, { group, addresses })
    if (known === undefined)
      for (const { address, envelope } of this.#log) if (addresses.has(address)) group.put(address, envelope)
    const subscription = group.subscribe(request)
    // Without its transactions, which are not declared.
    return {
      receive: (most, signal) => subscription.receive(most, signal),
      settle: (positions) => subscription.settle(positions),
      close: () => subscription.close(),
    }
  }

  #wait(message: OutboundMessage, dueAt: number): void {
    this.#waiting.push({ message, dueAt, number: (this.#number += 1) })
    this.#wakeAt(dueAt)
  }

  #handOver(): void {
    const now = systemClock.now()
    const due = this.#waiting.filter(({ dueAt }) => dueAt <= now)
    this.#waiting = this.#waiting.filter(({ dueAt }) => dueAt > now)
    due.sort((a, b) => a.dueAt - b.dueAt || a.number - b.number)
    for (const [i, { message, number }] of due.entries()) {
      const isOvertaking = [...this.#waiting, ...due.slice(i + 1)].some((other) => other.number < number)
      if (isOvertaking) this.#counts = { ...this.#counts, overtaking: this.#counts.overtaking + 1 }
      this.#log.push(message)
      for (const { group, addresses } of this.#groups.values())
        if (addresses.has(message.address)) group.put(message.address, message.envelope)
    }
    // A timer may come a moment before its time.
    const next = Math.min(...this.#waiting.map(({ dueAt }) => dueAt))
    if (due.length === 0 && Number.isFinite(next)) this.#wakeAt(next)
  }

  #wakeAt(time: number): void {
    void systemClock.sleep(Math.max(0, time - systemClock.now())).then(() => this.#handOver())
  }
}
