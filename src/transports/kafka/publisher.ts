import { systemClock } from '../../kernel/clock.ts'
import type { Fate, OutboundMessage, Publisher } from '../../ports/transport.ts'
import { type Entry, orderOf, PublishCall } from './backlog.ts'
import { heldBack, notRunning } from './fates.ts'
import { Lane, type LaneOptions } from './lane.ts'
import { bucketOf } from './partitioner.ts'
import { encodeWithin } from './record.ts'

/**
 * Producers side by side: while one waits for the broker, the other's batch is encoded. With four of them the requests were half as large,
 * and what each request costs by itself took an eighth more of the time of client and broker.
 */
const laneCount = 2

export interface PublisherOptions extends LaneOptions {
  /** CloudEvents source of what is sent. */
  readonly source: string
}

export class KafkaPublisher implements Publisher {
  readonly #options: PublisherOptions
  readonly #lanes: readonly Lane[]
  #isClosed = false
  /** Messages without a key go round. */
  #turn = 0

  constructor(options: PublisherOptions) {
    this.#options = options
    this.#lanes = Array.from({ length: laneCount }, () => new Lane(options))
  }

  async publish(batch: readonly OutboundMessage[], timeoutMs: number): Promise<readonly Fate[]> {
    if (this.#isClosed) return batch.map(() => notRunning)
    const { source, maxBytes } = this.#options
    const call = new PublishCall(batch.length)
    const parts = this.#lanes.map((): Entry[] => [])
    const failed = new Set<string>()
    for (const [index, message] of batch.entries()) {
      const { address, envelope } = message
      const { key } = envelope
      // What cannot be sent at all is refused alone; it would fail the send of all others.
      const record = encodeWithin(message, source, maxBytes)
      if ('outcome' in record || (failed.size > 0 && key !== null && failed.has(orderOf(address, key)))) {
        call.settle(index, 'outcome' in record ? record : heldBack)
        if (key !== null) failed.add(orderOf(address, key))
        continue
      }
      const { hash } = record
      const lane = hash === null ? this.#turn++ % laneCount : bucketOf(hash, laneCount)
      parts[lane]!.push({ record, key, call, index, partition: 0, group: undefined })
    }
    for (const [lane, entries] of parts.entries()) if (entries.length > 0) this.#lanes[lane]!.push(entries)
    if (!call.isDone) {
      const done = new AbortController()
      void systemClock.sleep(timeoutMs, done.signal).then(() => {
        if (!done.signal.aborted) for (const lane of this.#lanes) lane.expire(call)
      })
      await call.done
      done.abort()
    }
    return call.fates.map((fate) => fate ?? notRunning)
  }

  async close(): Promise<void> {
    this.#isClosed = true
    await Promise.all(this.#lanes.map((lane) => lane.close(notRunning)))
  }
}
