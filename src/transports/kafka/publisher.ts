import { systemClock } from '../../kernel/clock.ts'
import type { Fate, OutboundMessage, Publisher } from '../../ports/transport.ts'
import type { Entry } from './backlog.ts'
import { heldBack, notRunning } from './fates.ts'
import { Lane, type LaneOptions } from './lane.ts'
import { bucketOf } from './partitioner.ts'
import { encodeWithin } from './record.ts'

/** Producers side by side: while one waits for the broker, another's batch is encoded. */
const laneCount = 4

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
    const fates = batch.map((): Fate | undefined => undefined)
    const { promise, resolve } = Promise.withResolvers<void>()
    const call = {}
    let open = batch.length
    const settle = (index: number, fate: Fate): void => {
      if (fates[index] !== undefined) return
      fates[index] = fate
      open -= 1
      if (open === 0) resolve()
    }
    const parts = this.#lanes.map((): Entry[] => [])
    const failed = new Set<string>()
    for (const [index, message] of batch.entries()) {
      const { key } = message.envelope
      const orderKey = key === null ? null : `${message.address}\0${key}`
      // What cannot be sent at all is refused alone; it would fail the send of all others.
      const record = encodeWithin(message, source, maxBytes)
      if ('outcome' in record || (orderKey !== null && failed.has(orderKey))) {
        settle(index, 'outcome' in record ? record : heldBack)
        if (orderKey !== null) failed.add(orderKey)
        continue
      }
      const lane = key === null ? this.#turn++ % laneCount : bucketOf(record.hash, laneCount)
      parts[lane]!.push({
        record,
        orderKey,
        call,
        settle: (fate) => settle(index, fate),
        partition: 0,
        group: undefined,
      })
    }
    for (const [lane, entries] of parts.entries()) if (entries.length > 0) this.#lanes[lane]!.push(entries)
    if (open > 0) {
      const done = new AbortController()
      void systemClock.sleep(timeoutMs, done.signal).then(() => {
        if (!done.signal.aborted) for (const lane of this.#lanes) lane.expire(call)
      })
      await promise
      done.abort()
    }
    return fates.map((fate) => fate ?? notRunning)
  }

  async close(): Promise<void> {
    this.#isClosed = true
    await Promise.all(this.#lanes.map((lane) => lane.close(notRunning)))
  }
}
