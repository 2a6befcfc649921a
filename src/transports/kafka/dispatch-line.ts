import { systemClock } from '../../kernel/clock.ts'
import type { Dispatch } from '../../ports/transport.ts'
import { Departure, type DispatchProducer } from './dispatch-producer.ts'
import { notSent, notTaken, type Rejected } from './fates.ts'
import { kafkaErrorName } from './kafka-error.ts'
import { bucketOf } from './partitioner.ts'
import type { ReadyTopics } from './ready-topics.ts'
import type { OutgoingRecord } from './record.ts'
import { batchesOf, cutIntoSends, messagesOf, type PlacedRecord } from './sends.ts'

/** More than this waits in the sockets of brokers that do not read: what comes then waits here, and is dropped in time. */
const mostBufferedBytes = 16 * 1_048_576
const pauseMs = 10
/** Of a partition in one send: nobody waits for an answer, so large batches save nothing. */
const batchBytes = 65_536

/** What one call of `dispatch` brought, and what became of it. */
export class DispatchCall {
  readonly results: (Dispatch | undefined)[]
  /** Resolves when nothing of it is open any more. */
  readonly done: Promise<void>
  readonly #resolve: () => void
  #open: number
  #end: Dispatch | undefined
  /** What stood in its way last. */
  trouble: string | undefined

  constructor(count: number) {
    this.results = Array.from({ length: count })
    const { promise, resolve } = Promise.withResolvers<void>()
    this.done = promise
    this.#resolve = resolve
    this.#open = count
    if (count === 0) resolve()
  }

  /** Nothing of it may leave any more. */
  get isOver(): boolean {
    return this.#end !== undefined
  }

  settle(index: number, result: Dispatch): void {
    if (this.results[index] !== undefined) return
    this.results[index] = result
    this.#open -= 1
    if (this.#open === 0) this.#resolve()
  }

  /** What is open is `dropped` for this reason, or else for what stood in its way. */
  end(reason?: Rejected): void {
    this.#end ??= reason === undefined ? this.undone() : dropped(reason)
    this.#resolve()
  }

  undone(): Dispatch {
    return this.#end ?? dropped(notTaken(this.trouble ?? 'WB_TIMED_OUT'))
  }
}

export interface Dispatched extends PlacedRecord {
  readonly call: DispatchCall
  readonly record: OutgoingRecord
  readonly index: number
  /** Set as its topic is found. */
  partition: number
}

interface Flight {
  readonly records: readonly Dispatched[]
  readonly departure: Departure
  /** A call has ended while it was under way. */
  isCut: boolean
}

export interface DispatchLineOptions {
  readonly topic: string
  readonly producer: DispatchProducer
  readonly ready: ReadyTopics
  readonly maxBytes: number
}

/**
 * What goes to one topic: one send at a time, and so in order. What comes while one is under way goes together in the next,
 * whichever calls it belongs to.
 */
export class DispatchLine {
  readonly #options: DispatchLineOptions
  #waiting: Dispatched[] = []
  /** Calls with something here; when there are none, nothing is waited for. */
  readonly #calls = new Set<DispatchCall>()
  #idle = new AbortController()
  #flight: Flight | undefined
  #isRunning = false
  /** Messages without a key go round. */
  #turn = 0

  constructor(options: DispatchLineOptions) {
    this.#options = options
  }

  push(call: DispatchCall, records: readonly Dispatched[]): void {
    if (this.#calls.size === 0) this.#idle = new AbortController()
    this.#calls.add(call)
    for (const record of records) this.#waiting.push(record)
    if (!this.#isRunning) void this.#run()
  }

  /** Of a call that has ended: after this nothing of it is handed over any more. */
  leave(call: DispatchCall): void {
    this.#calls.delete(call)
    if (this.#calls.size === 0) this.#idle.abort()
    const flight = this.#flight
    if (flight?.records.some((record) => record.call === call) !== true) return
    flight.departure.seal()
    flight.isCut = true
    this.#land(flight, call)
  }

  /** Never rejects: what was not sent has no result yet, and gets one when its call ends. */
  async #run(): Promise<void> {
    this.#isRunning = true
    while (this.#waiting.length > 0) {
      const back = await this.#sendWhatWaits(this.#idle.signal)
      this.#waiting = [...back, ...this.#waiting].filter(({ call }) => !call.isOver)
    }
    this.#isRunning = false
  }

  /** Resolves with what was kept back because another's call had ended, and all behind it. */
  async #sendWhatWaits(signal: AbortSignal): Promise<readonly Dispatched[]> {
    const { topic, ready, maxBytes } = this.#options
    const state = await ready.find(topic, signal, (code) => {
      for (const call of this.#calls) call.trouble = code
    })
    if (state === undefined) return []
    const taken = this.#waiting
    this.#waiting = []
    if ('code' in state) {
      const result = dropped(notSent(state.code, state.reason))
      for (const { call, index } of taken) call.settle(index, result)
      return []
    }
    for (const one of taken) one.partition = this.#partitionOf(one.record, state.partitions)
    const sends = cutIntoSends(taken, () => Math.min(maxBytes, batchBytes))
    for (const [i, send] of sends.entries()) {
      await this.#room(signal)
      const back = await this.#fly(send.filter(({ call }) => !call.isOver))
      if (back.length > 0) return [...back, ...sends.slice(i + 1).flat()]
    }
    return []
  }

  async #fly(records: readonly Dispatched[]): Promise<readonly Dispatched[]> {
    if (records.length === 0) return []
    const flight: Flight = { records, departure: new Departure(), isCut: false }
    const { topic, producer } = this.#options
    this.#flight = flight
    producer.watch(topic, flight.departure)
    try {
      await producer.client.send({ messages: messagesOf(batchesOf(records)), acks: 0 })
    } catch (error) {
      if (!flight.isCut) for (const { call } of records) call.trouble = kafkaErrorName(error)
    }
    this.#flight = undefined
    flight.departure.seal()
    return this.#land(flight)
  }

  /** What has left of a flight that is sealed, and what has not: of one call where that has ended, else of all. */
  #land({ records, departure, isCut }: Flight, only?: DispatchCall): readonly Dispatched[] {
    const back: Dispatched[] = []
    for (const record of records) {
      const { call, index, partition } = record
      if (only !== undefined && call !== only) continue
      if (departure.hasLeft(partition)) call.settle(index, dispatched)
      else if (isCut && !call.isOver && !departure.hasFailed(partition)) back.push(record)
      else call.settle(index, call.undone())
    }
    return back
  }

  #partitionOf({ hash }: OutgoingRecord, partitions: number): number {
    return hash === null ? this.#turn++ % partitions : bucketOf(hash, partitions)
  }

  async #room(signal: AbortSignal): Promise<void> {
    const { client } = this.#options.producer
    for (; !signal.aborted; await systemClock.sleep(pauseMs, signal)) {
      let buffered = 0
      for (const [, connection] of client.connections) buffered += connection.socket?.writableLength ?? 0
      if (buffered < mostBufferedBytes) return
    }
  }
}

const dispatched: Dispatch = { outcome: 'dispatched' }

export function dropped({ code, reason }: { readonly code: string; readonly reason: string }): Dispatch {
  return { outcome: 'dropped', code, reason }
}
