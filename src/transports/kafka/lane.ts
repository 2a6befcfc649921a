import { withDeadline } from '../../kernel/deadline.ts'
import type { Fate } from '../../ports/transport.ts'
import { Backlog, type Entry } from './backlog.ts'
import { heldBack, notSent, notTaken } from './fates.ts'
import { kafkaErrorName } from './kafka-error.ts'
import { bucketOf } from './partitioner.ts'
import { ProduceLog } from './produce-log.ts'
import type { TopicDesk } from './topic-desk.ts'
import type { WatchedProducer } from './watched-producer.ts'

interface Flight {
  readonly entries: Entry[]
  readonly log: ProduceLog
  readonly signal: AbortController
  /** Why it has not left yet. */
  trouble: string | undefined
}

interface Refused {
  readonly entries: Entry[]
  readonly fate: Fate
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
  #flight: Flight | undefined
  #producer: WatchedProducer | undefined
  /** Messages without a key go round. */
  #turn = 0

  constructor(options: LaneOptions) {
    this.#options = options
  }

  push(entries: readonly Entry[]): void {
    this.#backlog.push(entries)
    this.#next()
  }

  /** The call's time is over: what of it waits was not sent, and the send it is part of is given up. */
  expire(call: object): void {
    const reason = 'Its time was over before it could be sent.'
    this.#backlog.drop((entry) => entry.call === call, notSent('WB_TIMED_OUT', reason))
    const flight = this.#flight
    if (flight?.entries.some((entry) => entry.call === call) === true) this.#giveUp(flight)
  }

  /** Settles everything and closes the producer. */
  async close(fate: Fate): Promise<void> {
    this.#backlog.drop(() => true, fate)
    if (this.#flight !== undefined) this.#giveUp(this.#flight)
    await this.#retire()
  }

  #next(): void {
    if (this.#flight !== undefined || this.#backlog.isEmpty) return
    const flight: Flight = {
      entries: this.#backlog.take(this.#options.maxBytes),
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
      const state = await this.#options.topics.find(client, topic, flight.signal.signal, (code) => {
        flight.trouble = code
      })
      if (state === undefined) return
      if ('code' in state)
        this.#settle(flight, (entry) => entry.record.topic === topic, notSent(state.code, state.reason))
      else counts.set(topic, state.partitions)
    }
    if (flight.entries.length === 0) return
    const messages = flight.entries.map((entry) => {
      const { topic, key, hash, value, headers } = entry.record
      const count = counts.get(topic)!
      entry.partition = key === null ? this.#turn++ % count : bucketOf(hash, count)
      return { topic, value, headers, partition: entry.partition, ...(key === null ? {} : { key }) }
    })
    await client.send({ messages })
  }

  #giveUp(flight: Flight): void {
    flight.log.seal()
    flight.signal.abort()
    flight.trouble ??= 'WB_TIMED_OUT'
    this.#conclude(flight)
  }

  #conclude(flight: Flight): void {
    this.#flight = undefined
    const { log, entries } = flight
    let isSpent = log.isSealed || log.isProducerOver
    const refused = new Map<string, Refused>()
    for (const entry of entries) {
      const { topic } = entry.record
      const verdict = log.verdict(topic, entry.partition)
      if (verdict.kind === 'not-written') {
        this.#end(entry, notTaken(flight.trouble ?? 'WB_BROKER_UNREACHABLE'))
      } else if (verdict.kind === 'fate') {
        if (verdict.fate.outcome === 'unknown') isSpent = true
        this.#end(entry, verdict.fate)
      } else {
        const place = `${topic}/${entry.partition}`
        const batch = refused.get(place)
        if (batch === undefined) refused.set(place, { entries: [entry], fate: verdict.fate })
        else batch.entries.push(entry)
      }
    }
    for (const batch of refused.values()) this.#refuse(batch, log.isSealed)
    if (isSpent) void this.#retire()
    this.#next()
  }

  /** A message that is refused costs only itself: its batch is sent again in halves, before all else and in order. */
  #refuse({ entries, fate }: Refused, isLate: boolean): void {
    if (entries.length === 1) {
      this.#end(entries[0]!, fate)
    } else if (isLate) {
      const late = notSent(
        'WB_TIMED_OUT',
        'Its batch was refused, and its time was over before it could go alone.',
      )
      for (const entry of entries) this.#end(entry, late)
    } else {
      this.#backlog.putBackHalved(entries)
    }
  }

  /** Settles an entry; where it was not confirmed, what waits behind it of its key may not go first (B1). */
  #end(entry: Entry, fate: Fate): void {
    entry.settle(fate)
    const { orderKey } = entry
    if (fate.outcome === 'confirmed' || orderKey === null) return
    this.#backlog.drop((other) => other.orderKey === orderKey, heldBack)
  }

  #settle(flight: Flight, which: (entry: Entry) => boolean, fate: Fate): void {
    const { entries } = flight
    const ended = entries.filter(which)
    entries.splice(0, entries.length, ...entries.filter((entry) => !which(entry)))
    for (const entry of ended) this.#end(entry, fate)
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
