import { systemClock } from '../../kernel/clock.ts'
import { withDeadline } from '../../kernel/deadline.ts'
import type { Fate } from '../../ports/transport.ts'
import { Backlog, type Entry, orderOf } from './backlog.ts'
import { heldBack, notSent, notTaken } from './fates.ts'
import { kafkaErrorName } from './kafka-error.ts'
import { bucketOf } from './partitioner.ts'
import { ProduceLog } from './produce-log.ts'
import { type Batch, batchesOf, messagesOf } from './sends.ts'
import { pauseMs, type TopicDesk } from './topic-desk.ts'
import type { WatchedProducer } from './watched-producer.ts'

interface Flight {
  readonly entries: Entry[]
  /** None until their topics were looked up; nothing can have been written before. */
  batches: readonly Batch<Entry>[]
  readonly log: ProduceLog
  readonly signal: AbortController
  /** Why it has not left yet. */
  trouble: string | undefined
}

/** Messages whose topic is not there yet, or has no leader: they wait beside the lane, so that other topics go on (O2). */
interface Search {
  readonly waiting: Backlog
  readonly signal: AbortController
  trouble: string
}

export interface LaneOptions {
  readonly makeProducer: () => WatchedProducer
  readonly topics: TopicDesk
  /** Records of one send together, at most; one larger than that goes alone. */
  readonly maxBytes: number
}

/**
 * A producer of its own with one send under way; what comes meanwhile waits and goes together in the next. The library
 * keeps no order between sends: after a failed attempt the next one overtakes, the broker sees a gap in the numbers, and
 * the library's answer to that is a new producer id and another order (B1). Keys belong to lanes, so several lanes overlap.
 *
 * A send past its deadline is given up: its records may be in the log, or still get there from what the connection holds.
 * First occurrences of a key stay in order all the same: what waits behind it here is held back, the caller sends the key's
 * later messages only after this one is confirmed, and a late copy brings its batch in the old order.
 */
export class Lane {
  readonly #options: LaneOptions
  readonly #backlog = new Backlog()
  readonly #searches = new Map<string, Search>()
  #flight: Flight | undefined
  #producer: WatchedProducer | undefined
  /** Messages without a key go round. */
  #turn = 0

  constructor(options: LaneOptions) {
    this.#options = options
  }

  push(entries: readonly Entry[]): void {
    this.#backlog.push(
      this.#searches.size === 0 ? entries : entries.filter((entry) => !this.#joinsSearch(entry)),
    )
    this.#next()
  }

  #joinsSearch(entry: Entry): boolean {
    const search = this.#searches.get(entry.record.topic)
    search?.waiting.push([entry])
    return search !== undefined
  }

  /** The call's time is over: what of it waits was not sent, and the send it is part of is given up. */
  expire(call: object): void {
    const reason = 'Its time was over before it could be sent.'
    this.#backlog.drop((entry) => entry.call === call, notSent('WB_TIMED_OUT', reason))
    for (const search of this.#searches.values())
      this.#endAll(
        search.waiting.remove((entry) => entry.call === call),
        notTaken(search.trouble),
      )
    this.#endIdleSearches()
    const flight = this.#flight
    if (flight?.entries.some((entry) => entry.call === call) === true) this.#giveUp(flight)
  }

  /** Settles everything and closes the producer. */
  async close(fate: Fate): Promise<void> {
    this.#drop(() => true, fate)
    this.#endIdleSearches()
    if (this.#flight !== undefined) this.#giveUp(this.#flight)
    await this.#retire()
  }

  #next(): void {
    if (this.#flight !== undefined || this.#backlog.isEmpty) return
    const flight: Flight = {
      entries: this.#backlog.take(this.#options.maxBytes),
      batches: [],
      log: new ProduceLog(),
      signal: new AbortController(),
      trouble: undefined,
    }
    this.#flight = flight
    void this.#fly(flight)
  }

  async #fly(flight: Flight): Promise<void> {
    try {
      await this.#send(flight)
    } catch (error) {
      flight.trouble = kafkaErrorName(error)
    }
    // Given up meanwhile: it was reported, and the late result changes nothing.
    if (this.#flight !== flight) return
    this.#conclude(flight)
  }

  async #send(flight: Flight): Promise<void> {
    this.#producer ??= this.#options.makeProducer()
    const { client, watch } = this.#producer
    watch(flight.log)
    const counts = new Map<string, number>()
    for (const topic of new Set(flight.entries.map(({ record }) => record.topic))) {
      const state = await this.#options.topics.look(client, topic, (code) => {
        flight.trouble = code
      })
      // Given up meanwhile, and its messages reported: none may leave any more.
      if (flight.signal.signal.aborted) return
      if (state === undefined) this.#setAside(flight, topic)
      else if ('code' in state)
        this.#settle(flight, (entry) => entry.record.topic === topic, notSent(state.code, state.reason))
      else counts.set(topic, state.partitions)
    }
    if (flight.entries.length === 0) return
    for (const entry of flight.entries) {
      const { topic, hash } = entry.record
      const count = counts.get(topic)!
      entry.partition = hash === null ? this.#turn++ % count : bucketOf(hash, count)
    }
    flight.batches = batchesOf(flight.entries)
    await client.send({ messages: messagesOf(flight.batches) })
  }

  /** With all that waits behind it for the same topic: it goes on together, in its order. */
  #setAside(flight: Flight, topic: string): void {
    const isOfIt = ({ record }: Entry): boolean => record.topic === topic
    const waiting = new Backlog()
    waiting.push(flight.entries.filter(isOfIt))
    waiting.push(this.#backlog.remove(isOfIt))
    flight.entries.splice(0, flight.entries.length, ...flight.entries.filter((entry) => !isOfIt(entry)))
    const search = { waiting, signal: new AbortController(), trouble: flight.trouble! }
    flight.trouble = undefined
    this.#searches.set(topic, search)
    void this.#search(topic, search)
  }

  async #search(topic: string, search: Search): Promise<void> {
    const { signal } = search.signal
    for (; !signal.aborted; await systemClock.sleep(pauseMs, signal)) {
      const producer = (this.#producer ??= this.#options.makeProducer())
      const state = await this.#options.topics.look(producer.client, topic, (code) => {
        search.trouble = code
      })
      // A producer that was closed meanwhile has no answer to give.
      if (signal.aborted || state === undefined || this.#producer !== producer) continue
      this.#searches.delete(topic)
      const found = search.waiting.remove(() => true)
      if ('code' in state) this.#endAll(found, notSent(state.code, state.reason))
      else this.#backlog.putBack(found)
      this.#next()
      return
    }
  }

  /** Nothing waits for these topics any more. */
  #endIdleSearches(): void {
    for (const [topic, { waiting, signal }] of this.#searches) {
      if (!waiting.isEmpty) continue
      signal.abort()
      this.#searches.delete(topic)
    }
  }

  #giveUp(flight: Flight): void {
    flight.log.seal()
    flight.signal.abort()
    flight.trouble ??= 'WB_TIMED_OUT'
    this.#conclude(flight)
  }

  #conclude(flight: Flight): void {
    this.#flight = undefined
    const { log, entries, batches } = flight
    let isSpent = log.isSealed || log.isProducerOver
    const notWritten = notTaken(flight.trouble ?? 'WB_BROKER_UNREACHABLE')
    if (batches.length === 0) this.#endAll(entries, notWritten)
    const refused: (readonly [Batch<Entry>, Fate])[] = []
    for (const batch of batches) {
      const verdict = log.verdict(batch.topic, batch.partition)
      if (verdict.kind === 'refused') {
        refused.push([batch, verdict.fate])
        continue
      }
      const fate = verdict.kind === 'fate' ? verdict.fate : notWritten
      if (fate.outcome === 'unknown') isSpent = true
      this.#endAll(batch.records, fate)
    }
    for (const [{ records }, fate] of refused) this.#refuse(records, fate, log.isSealed)
    if (isSpent) void this.#retire()
    this.#next()
  }

  /** A message that is refused costs only itself: its batch is sent again in halves, before all else and in order. */
  #refuse(entries: readonly Entry[], fate: Fate, isLate: boolean): void {
    if (entries.length === 1) {
      this.#endAll(entries, fate)
    } else if (isLate) {
      const late = notSent(
        'WB_TIMED_OUT',
        'Its batch was refused, and its time was over before it could go alone.',
      )
      this.#endAll(entries, late)
    } else {
      this.#backlog.putBackHalved(entries)
    }
  }

  /** Settles entries; where they were not confirmed, what waits behind them of their keys may not go first (B1). */
  #endAll(entries: readonly Entry[], fate: Fate): void {
    for (const { call, index } of entries) call.settle(index, fate)
    if (fate.outcome === 'confirmed') return
    const orders = new Set<string>()
    for (const { record, key } of entries) if (key !== null) orders.add(orderOf(record.topic, key))
    this.#drop(({ record, key }) => key !== null && orders.has(orderOf(record.topic, key)), heldBack)
  }

  #drop(which: (entry: Entry) => boolean, fate: Fate): void {
    this.#backlog.drop(which, fate)
    for (const { waiting } of this.#searches.values()) waiting.drop(which, fate)
  }

  #settle(flight: Flight, which: (entry: Entry) => boolean, fate: Fate): void {
    const { entries } = flight
    const ended = entries.filter(which)
    entries.splice(0, entries.length, ...entries.filter((entry) => !which(entry)))
    this.#endAll(ended, fate)
  }

  async #retire(): Promise<void> {
    const producer = this.#producer
    this.#producer = undefined
    if (producer === undefined) return
    // What its connection still holds cannot be called back; a stopped broker may keep it from closing.
    await withDeadline(producer.client.close(true), closeMs, 'Closing a producer').catch(() => {})
  }
}

const closeMs = 2000
