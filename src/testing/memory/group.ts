import type { Envelope } from '../../kernel/message.ts'
import type {
  AssignedStream,
  Delivery,
  SettledPosition,
  SubscribeRequest,
  Subscription,
} from '../../ports/transport.ts'
import type { Records } from './records.ts'

interface Stream {
  readonly name: string
  /** The message at a position is the one of this index. */
  readonly log: Envelope[]
  /** Every position below it is done. */
  settled: number
  /** The next one to be delivered. */
  next: number
}

/** What a group of consumers is told of the place it reads from. */
export interface GroupParts {
  readonly consumer: string
  readonly records: Records
  /** Publishes what a transform emits, in the turn in which its position moves. */
  readonly publish: (outputs: Parameters<NonNullable<Subscription['commit']>>[1]) => void
}

/**
 * What the broker keeps of one consumer: a stream for each address and how far it is settled. What was delivered and not settled is
 * delivered again to the next subscription.
 */
export class Group {
  readonly #parts: GroupParts
  readonly #streams = new Map<string, Stream>()
  #assignment = 0
  #arrived: PromiseWithResolvers<void> = Promise.withResolvers()

  constructor(parts: GroupParts) {
    this.#parts = parts
  }

  put(address: string, envelope: Envelope): void {
    this.#stream(address).log.push(envelope)
    this.#arrived.resolve()
    this.#arrived = Promise.withResolvers()
  }

  /** Everything that was put is settled, or held behind a message of its key. */
  get isSettled(): boolean {
    for (const stream of this.#streams.values()) {
      this.#passHeld(stream)
      if (stream.settled < stream.log.length) return false
    }
    return true
  }

  get unsettled(): readonly Envelope[] {
    return [...this.#streams.values()].flatMap(({ log, settled }) => log.slice(settled))
  }

  subscribe(request: SubscribeRequest): Subscription {
    const assignment = ++this.#assignment
    for (const { address } of request.channels) this.#stream(address)
    let isAssigned = false
    const closed = new AbortController()
    return {
      receive: async (most, until) => {
        const signal = AbortSignal.any([until, closed.signal])
        if (!isAssigned) await this.#assign(request)
        isAssigned = true
        return await this.#receive(most, signal, assignment)
      },
      settle: async (positions) => positions.map((position) => this.#settle(position, assignment)),
      commit: async (positions, outputs) => {
        if (positions.some((position) => position.assignment !== assignment)) return { outcome: 'refused' }
        for (const position of positions) this.#settle(position, assignment)
        this.#parts.publish(outputs)
        return { outcome: 'committed' }
      },
      close: async () => closed.abort(),
    }
  }

  /** A subscription begins where its consumer says, or else where the last one had settled. */
  async #assign({ startAt }: SubscribeRequest): Promise<void> {
    const assigned = [...this.#streams.values()].map(({ name }): AssignedStream => ({
      stream: name,
      lineage,
    }))
    const starts = await startAt?.(assigned)
    for (const stream of this.#streams.values()) {
      stream.next = Number(starts?.get(stream.name) ?? stream.settled)
      stream.settled = Math.max(stream.settled, stream.next)
    }
  }

  async #receive(most: number, signal: AbortSignal, assignment: number): Promise<readonly Delivery[]> {
    while (!signal.aborted) {
      const deliveries = this.#next(most, assignment)
      if (deliveries.length > 0) return deliveries
      const { promise, resolve } = Promise.withResolvers<void>()
      signal.addEventListener('abort', () => resolve(), { once: true })
      await Promise.race([this.#arrived.promise, promise])
    }
    return []
  }

  #next(most: number, assignment: number): readonly Delivery[] {
    const { records, consumer } = this.#parts
    const deliveries: Delivery[] = []
    for (const stream of this.#streams.values()) {
      while (deliveries.length < most && stream.next < stream.log.length) {
        const envelope = stream.log[stream.next]!
        if (records.holds(consumer, envelope) !== undefined) {
          // It goes past only in its turn: what stands before it may still be at work.
          if (stream.settled < stream.next) break
          this.#passHeld(stream)
          continue
        }
        const isUnderWay = (other: Envelope): boolean =>
          other.key === envelope.key && other.channel === envelope.channel
        if (records.mayHold(envelope) && stream.log.slice(stream.settled, stream.next).some(isUnderWay)) break
        const position = BigInt(stream.next)
        deliveries.push({ envelope, raw: null, stream: stream.name, position, assignment })
        stream.next += 1
      }
    }
    return deliveries
  }

  #settle({ stream: name, position, assignment: own }: SettledPosition, assignment: number): boolean {
    const stream = [...this.#streams.values()].find((each) => each.name === name)
    if (stream === undefined || own !== assignment || own !== this.#assignment) return false
    stream.settled = Math.max(stream.settled, Number(position) + 1)
    this.#passHeld(stream)
    this.#arrived.resolve()
    this.#arrived = Promise.withResolvers()
    return true
  }

  /** What stands behind a head that holds its key: kept beside it where that is parked, left where it is blocked. */
  #passHeld(stream: Stream): void {
    const { records, consumer } = this.#parts
    while (stream.settled === stream.next && stream.next < stream.log.length) {
      const envelope = stream.log[stream.next]!
      const holding = records.holds(consumer, envelope)
      if (holding === undefined) return
      if (holding === 'park') records.follow(consumer, envelope)
      stream.next += 1
      stream.settled += 1
    }
  }

  #stream(address: string): Stream {
    let stream = this.#streams.get(address)
    if (stream === undefined) {
      stream = { name: `${address}/0`, log: [], settled: 0, next: 0 }
      this.#streams.set(address, stream)
    }
    return stream
  }
}

/** There is one log, and it lasts as long as its instance. */
const lineage = 'memory'
