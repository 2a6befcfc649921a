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

interface Member {
  readonly request: SubscribeRequest
  /** Under which it has the streams, or last had them. */
  assignment: number
  /** It knows where it starts; until then it was delivered nothing. */
  hasStarted: boolean
}

/**
 * What the broker keeps of one consumer: a stream for each address and how far it is settled. One subscription has all of them, the
 * latest that is open; at its end the one before has them again. What was delivered and not settled is delivered again to the next.
 */
export class Group {
  readonly #parts: GroupParts
  readonly #streams = new Map<string, Stream>()
  /** In the order in which they came. */
  readonly #members: Member[] = []
  #assignment = 0
  #changed: PromiseWithResolvers<void> = Promise.withResolvers()

  constructor(parts: GroupParts) {
    this.#parts = parts
  }

  put(address: string, envelope: Envelope): void {
    this.#stream(address).log.push(envelope)
    this.#change()
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
    for (const { address } of request.channels) this.#stream(address)
    const before = this.#members.at(-1)
    const member: Member = { request, assignment: 0, hasStarted: false }
    this.#members.push(member)
    this.#assignTo(member)
    if (before?.hasStarted === true) before.request.onRevoked(this.#names)
    const closed = new AbortController()
    return {
      receive: async (most, until) =>
        await this.#receive(most, AbortSignal.any([until, closed.signal]), member),
      settle: async (positions) => positions.map((position) => this.#settle(position, member)),
      commit: async (positions, outputs) => {
        if (!positions.every((position) => this.#isCurrent(position, member))) return { outcome: 'refused' }
        for (const position of positions) this.#settle(position, member)
        this.#parts.publish(outputs)
        return { outcome: 'committed' }
      },
      close: async () => {
        closed.abort()
        this.#leave(member)
      },
    }
  }

  get #names(): readonly string[] {
    return [...this.#streams.values()].map(({ name }) => name)
  }

  /** Whoever had the streams is refused from now on. */
  #assignTo(member: Member): void {
    member.assignment = ++this.#assignment
    member.hasStarted = false
    this.#change()
  }

  #leave(member: Member): void {
    const hadThem = this.#members.at(-1) === member
    const index = this.#members.indexOf(member)
    if (index !== -1) this.#members.splice(index, 1)
    const heir = this.#members.at(-1)
    if (hadThem && heir !== undefined) this.#assignTo(heir)
  }

  /** An assignment begins where its consumer says, or else where the last one had settled. */
  async #begin(member: Member): Promise<void> {
    const { assignment } = member
    const assigned = this.#names.map((stream): AssignedStream => ({ stream, lineage }))
    const starts = await member.request.startAt?.(assigned)
    // Taken away while it was asked.
    if (assignment !== this.#assignment) return
    for (const stream of this.#streams.values()) {
      stream.next = Number(starts?.get(stream.name) ?? stream.settled)
      stream.settled = Math.max(stream.settled, stream.next)
    }
    member.hasStarted = true
  }

  async #receive(most: number, signal: AbortSignal, member: Member): Promise<readonly Delivery[]> {
    while (!signal.aborted) {
      const { assignment, hasStarted } = member
      const isAssigned = assignment === this.#assignment
      if (isAssigned && !hasStarted) {
        await this.#begin(member)
        continue
      }
      const deliveries = isAssigned ? this.#next(most, assignment) : []
      if (deliveries.length > 0) return deliveries
      const { promise, resolve } = Promise.withResolvers<void>()
      signal.addEventListener('abort', () => resolve(), { once: true })
      await Promise.race([this.#changed.promise, promise])
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

  #isCurrent({ assignment }: SettledPosition, member: Member): boolean {
    return assignment === member.assignment && assignment === this.#assignment
  }

  #settle(settled: SettledPosition, member: Member): boolean {
    const stream = [...this.#streams.values()].find(({ name }) => name === settled.stream)
    if (stream === undefined || !this.#isCurrent(settled, member)) return false
    stream.settled = Math.max(stream.settled, Number(settled.position) + 1)
    this.#passHeld(stream)
    this.#change()
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

  /** Wakes whoever waits for something to come. */
  #change(): void {
    this.#changed.resolve()
    this.#changed = Promise.withResolvers()
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
