import { systemClock } from '../../kernel/clock.ts'
import { withDeadline } from '../../kernel/deadline.ts'
import type { Dispatch, Dispatcher, OutboundMessage } from '../../ports/transport.ts'
import { DispatchCall, type Dispatched, DispatchLine, dropped } from './dispatch-line.ts'
import type { DispatchProducer } from './dispatch-producer.ts'
import { notRunning } from './fates.ts'
import { kafkaErrorName } from './kafka-error.ts'
import { ReadyTopics } from './ready-topics.ts'
import { encodeWithin } from './record.ts'
import type { TopicDesk } from './topic-desk.ts'

const closeMs = 2000
const pauseMs = 50

export interface DispatcherOptions {
  readonly makeProducer: () => DispatchProducer
  readonly topics: TopicDesk
  readonly maxBytes: number
  /** CloudEvents source of what is sent. */
  readonly source: string
}

/**
 * Sends once, with acks=0 (B8): a record is in one produce request, to the leader of its partition, and what is written to the
 * socket is done with. What goes to a topic goes over one connection to a broker, one send after another, and so keeps its
 * order per key.
 */
export class KafkaDispatcher implements Dispatcher {
  readonly #options: DispatcherOptions
  readonly #producer: DispatchProducer
  readonly #ready: ReadyTopics
  /** By topic. */
  readonly #lines = new Map<string, DispatchLine>()
  readonly #calls = new Set<DispatchCall>()
  #isClosed = false

  constructor(options: DispatcherOptions) {
    this.#options = options
    this.#producer = options.makeProducer()
    this.#ready = new ReadyTopics(this.#producer, options.topics)
  }

  async dispatch(batch: readonly OutboundMessage[], timeoutMs: number): Promise<readonly Dispatch[]> {
    if (this.#isClosed) return batch.map(() => dropped(notRunning))
    const { source, maxBytes } = this.#options
    const call = new DispatchCall(batch.length)
    const byTopic = new Map<string, Dispatched[]>()
    for (const [index, message] of batch.entries()) {
      const record = encodeWithin(message, source, maxBytes)
      if ('outcome' in record) {
        call.settle(index, dropped(record))
        continue
      }
      const one: Dispatched = { call, record, index, partition: 0 }
      const records = byTopic.get(record.topic)
      if (records === undefined) byTopic.set(record.topic, [one])
      else records.push(one)
    }
    this.#calls.add(call)
    for (const [topic, records] of byTopic) this.#lineOf(topic).push(call, records)
    await withDeadline(call.done, timeoutMs, 'Dispatching').catch(() => {})
    call.end()
    this.#calls.delete(call)
    for (const topic of byTopic.keys()) this.#lineOf(topic).leave(call)
    return call.results.map((result) => result ?? call.undone())
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

  async flush(timeoutMs: number): Promise<void> {
    const end = new AbortController()
    const settling = Promise.all([...this.#lines.keys()].map((topic) => this.#settled(topic, end.signal)))
    await withDeadline(settling, timeoutMs, 'Waiting for what was dispatched').catch(() => {})
    end.abort()
  }

  async #settled(topic: string, signal: AbortSignal): Promise<void> {
    const { client, settle } = this.#producer
    for (; !signal.aborted; await systemClock.sleep(pauseMs, signal)) {
      try {
        await settle(topic)
        return
      } catch (error) {
        // Nothing comes behind anything there.
        if (kafkaErrorName(error) === 'UNKNOWN_TOPIC_OR_PARTITION') return
        client.clearMetadata()
      }
    }
  }

  async close(): Promise<void> {
    this.#isClosed = true
    for (const call of this.#calls) call.end(notRunning)
    // What was written is passed on first; a stopped broker may keep it from that.
    await withDeadline(this.#producer.client.close(true), closeMs, 'Closing a producer').catch(() => {})
  }

  #lineOf(topic: string): DispatchLine {
    let line = this.#lines.get(topic)
    if (line === undefined) {
      const { maxBytes } = this.#options
      line = new DispatchLine({ topic, producer: this.#producer, ready: this.#ready, maxBytes })
      this.#lines.set(topic, line)
    }
    return line
  }
}
