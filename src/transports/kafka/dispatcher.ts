import { systemClock } from '../../kernel/clock.ts'
import { withDeadline } from '../../kernel/deadline.ts'
import type { Dispatch, Dispatcher, OutboundMessage } from '../../ports/transport.ts'
import { Departure, type DispatchProducer } from './dispatch-producer.ts'
import { notRunning, notSent, notTaken } from './fates.ts'
import { kafkaErrorName } from './kafka-error.ts'
import { bucketOf } from './partitioner.ts'
import { ReadyTopics } from './ready-topics.ts'
import { encodeWithin, type OutgoingRecord } from './record.ts'
import type { TopicDesk } from './topic-desk.ts'
import { cutIntoSends, messageOf, type PlacedRecord } from './sends.ts'

/** More than this waits in the sockets of brokers that do not read: what comes then waits here, and is dropped in time. */
const mostBufferedBytes = 16 * 1_048_576
const pauseMs = 10
const closeMs = 2000

export interface DispatcherOptions {
  readonly makeProducer: () => DispatchProducer
  readonly topics: TopicDesk
  readonly maxBytes: number
  /** CloudEvents source of what is sent. */
  readonly source: string
}

interface Call {
  readonly results: (Dispatch | undefined)[]
  readonly end: AbortController
  trouble: string | undefined
  /** The sends that are under way, one for each topic at most. */
  readonly flights: Set<Flight>
}

interface Addressed {
  readonly record: OutgoingRecord
  readonly index: number
}

interface Flight {
  readonly records: readonly PlacedRecord[]
  readonly departure: Departure
}

/**
 * Sends once, with acks=0 (B8): a record is in one produce request, to the leader of its partition, and what is written to the
 * socket is done with. Calls go one after another on each topic, over one connection to a broker, and so keep their order
 * per key.
 */
export class KafkaDispatcher implements Dispatcher {
  readonly #options: DispatcherOptions
  readonly #producer: DispatchProducer
  readonly #ready: ReadyTopics
  /** By topic: when what came before was sent. */
  readonly #turns = new Map<string, Promise<void>>()
  readonly #calls = new Set<Call>()
  #isClosed = false
  /** Messages without a key go round. */
  #turn = 0

  constructor(options: DispatcherOptions) {
    this.#options = options
    this.#producer = options.makeProducer()
    this.#ready = new ReadyTopics(this.#producer, options.topics)
  }

  async dispatch(batch: readonly OutboundMessage[], timeoutMs: number): Promise<readonly Dispatch[]> {
    if (this.#isClosed) return batch.map(() => dropped(notRunning))
    const { source, maxBytes } = this.#options
    const call: Call = {
      results: batch.map(() => undefined),
      end: new AbortController(),
      trouble: undefined,
      flights: new Set(),
    }
    const byTopic = new Map<string, Addressed[]>()
    for (const [index, message] of batch.entries()) {
      const record = encodeWithin(message, source, maxBytes)
      if ('outcome' in record) {
        call.results[index] = dropped(record)
        continue
      }
      const records = byTopic.get(record.topic)
      if (records === undefined) byTopic.set(record.topic, [{ record, index }])
      else records.push({ record, index })
    }
    this.#calls.add(call)
    const sending = [...byTopic].map(([topic, records]) =>
      this.#queue(topic, () => this.#send(call, topic, records)),
    )
    await withDeadline(Promise.all(sending), timeoutMs, 'Dispatching', call.end.signal).catch(() => {})
    this.#calls.delete(call)
    return this.#conclude(call)
  }

  async isReady(address: string, timeoutMs: number): Promise<boolean> {
    const end = new AbortController()
    try {
      const looking = this.#ready.find(address, end.signal, () => {})
      const state = await withDeadline(looking, timeoutMs, 'Looking for a topic')
      return state !== undefined && !('code' in state)
    } catch {
      return false
    } finally {
      end.abort()
    }
  }

  async close(): Promise<void> {
    this.#isClosed = true
    for (const { end } of this.#calls) end.abort()
    // What was written is passed on first; a stopped broker may keep it from that.
    await withDeadline(this.#producer.client.close(true), closeMs, 'Closing a producer').catch(() => {})
  }

  #queue(topic: string, send: () => Promise<void>): Promise<void> {
    const turn = (this.#turns.get(topic) ?? Promise.resolve()).then(send)
    this.#turns.set(topic, turn)
    void turn.then(() => {
      if (this.#turns.get(topic) === turn) this.#turns.delete(topic)
    })
    return turn
  }

  /** Never rejects: what was not sent has no result yet, and gets one from `#conclude`. */
  async #send(call: Call, topic: string, records: readonly Addressed[]): Promise<void> {
    const { signal } = call.end
    const state = await this.#ready.find(topic, signal, (code) => (call.trouble = code))
    if (state === undefined) return
    if ('code' in state) {
      const result = dropped(notSent(state.code, state.reason))
      for (const { index } of records) call.results[index] = result
      return
    }
    const { partitions } = state
    const placed = records.map(({ record, index }) => {
      const partition = record.key === null ? this.#turn++ % partitions : bucketOf(record.hash, partitions)
      return { record, index, partition }
    })
    for (const send of cutIntoSends(placed, () => this.#options.maxBytes)) {
      await this.#room(signal)
      if (signal.aborted) return
      await this.#fly(call, topic, send)
    }
  }

  async #fly(call: Call, topic: string, records: readonly PlacedRecord[]): Promise<void> {
    const flight: Flight = { records, departure: new Departure() }
    call.flights.add(flight)
    const { client, watch } = this.#producer
    watch(topic, flight.departure)
    try {
      await client.send({ messages: records.map(messageOf), acks: 0 })
    } catch (error) {
      call.trouble = kafkaErrorName(error)
    }
    this.#land(call, flight)
  }

  #land(call: Call, flight: Flight): void {
    if (!call.flights.delete(flight)) return
    flight.departure.seal()
    for (const { partition, index } of flight.records) {
      call.results[index!] ??= flight.departure.hasLeft(partition) ? dispatched : this.#undone(call)
    }
  }

  /** After this nothing of the call is handed over any more. */
  #conclude(call: Call): readonly Dispatch[] {
    call.end.abort()
    for (const flight of call.flights) this.#land(call, flight)
    return call.results.map((result) => result ?? this.#undone(call))
  }

  #undone({ trouble }: Call): Dispatch {
    return dropped(this.#isClosed ? notRunning : notTaken(trouble ?? 'WB_TIMED_OUT'))
  }

  async #room(signal: AbortSignal): Promise<void> {
    const { client } = this.#producer
    for (; !signal.aborted; await systemClock.sleep(pauseMs, signal)) {
      let buffered = 0
      for (const [, connection] of client.connections) buffered += connection.socket?.writableLength ?? 0
      if (buffered < mostBufferedBytes) return
    }
  }
}

const dispatched: Dispatch = { outcome: 'dispatched' }

function dropped({ code, reason }: { readonly code: string; readonly reason: string }): Dispatch {
  return { outcome: 'dropped', code, reason }
}
