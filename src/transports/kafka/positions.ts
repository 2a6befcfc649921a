import type { Consumer } from '@platformatic/kafka'
import type { Logger } from '../../kernel/logger.ts'
import type { Delivery } from '../../ports/transport.ts'
import type { FetchResponse } from './client.ts'
import { committed } from './committed.ts'
import type { NextOffset } from './commit-request.ts'
import { responseIn } from './kafka-error.ts'
import { decodeRecord, streamName } from './record.ts'
import { logStarts, type Start } from './starts.ts'

const offsetOutOfRange = 1

/** `next`: the next offset to be read. */
export type ReadPosition = Omit<Start, 'next'> & { next: bigint }

/** Where each partition of an assignment is read next. */
export class Positions {
  readonly #client: Consumer
  readonly #channels: ReadonlyMap<string, readonly string[]>
  readonly #assignment: number
  readonly #positions = new Map<string, ReadPosition>()

  constructor(client: Consumer, channels: ReadonlyMap<string, readonly string[]>, assignment: number) {
    this.#client = client
    this.#channels = channels
    this.#assignment = assignment
  }

  /**
   * What brought something last comes last: the broker fills an answer in the order of the request, and the first of many
   * full partitions would leave no room for the others.
   */
  all(): Iterable<ReadPosition> {
    return this.#positions.values()
  }

  start(starts: Iterable<Start>): void {
    for (const start of starts) this.#positions.set(streamName(start.topic, start.partition), { ...start })
  }

  /**
   * The deliveries in an answer, and moves on past them. A batch can start below what was asked for; what lies there was
   * handed out before, or is settled, and is dropped.
   */
  *accept(topics: FetchResponse['responses'], names: ReadonlyMap<string, string>): Generator<Delivery> {
    for (const { topicId, partitions } of topics) {
      const topic = names.get(topicId)
      for (const { partitionIndex, records, abortedTransactions } of partitions) {
        const position =
          topic === undefined ? undefined : this.#positions.get(streamName(topic, partitionIndex))
        if (position === undefined) continue
        if ((records?.length ?? 0) > 0) this.#toEnd(position)
        for (const { batch, isDelivered } of committed(records ?? [], abortedTransactions ?? [])) {
          if (isDelivered) {
            for (const record of batch.records) {
              const offset = batch.firstOffset + BigInt(record.offsetDelta)
              if (offset < position.next) continue
              position.next = offset + 1n
              const timestamp = batch.firstTimestamp + record.timestampDelta
              const place = { ...position, offset, timestamp, assignment: this.#assignment }
              yield decodeRecord(record, place, this.#channels.get(position.topic) ?? [])
            }
          }
          // Not only past its records: the last ones may have been compacted away, and a marker or an aborted batch has none
          // for us. Staying before it would fetch it again for ever.
          const after = batch.firstOffset + BigInt(batch.lastOffsetDelta) + 1n
          if (after > position.next) position.next = after
        }
      }
    }
  }

  /** Positions of streams that are ours, as a commit says them: the next offset, not the last. */
  toCommit(settled: readonly Pick<Delivery, 'stream' | 'position'>[]): NextOffset[] {
    const offsets: NextOffset[] = []
    for (const { stream, position } of settled) {
      const found = this.#positions.get(stream)
      if (found !== undefined)
        offsets.push({ topic: found.topic, partition: found.partition, offset: position + 1n })
    }
    return offsets
  }

  /**
   * Where the log no longer has a position (retention took it), reading starts at what the log has first: nothing that is
   * there is passed over. A given position that lies behind the end of the log is another matter: the log has lost messages
   * whose effects are there, and what it has now under the same positions is not known. It is not read, which an operator
   * must look into. Returns whether a lost position was the trouble.
   */
  async resetWhereGone(error: unknown, names: ReadonlyMap<string, string>, logger: Logger): Promise<boolean> {
    const response = responseIn(error) as Partial<FetchResponse> | undefined
    const gone: Record<string, number[]> = {}
    for (const { topicId, partitions } of response?.responses ?? []) {
      const topic = names.get(topicId)
      if (topic === undefined) continue
      for (const { partitionIndex, errorCode } of partitions) {
        if (errorCode === offsetOutOfRange) (gone[topic] ??= []).push(partitionIndex)
      }
    }
    for (const start of await logStarts(this.#client, gone)) {
      const { topic, partition, next } = start
      const lost = this.#positions.get(streamName(topic, partition))
      if (lost === undefined) continue
      const fields = { topic, partition, wanted: lost.next, start: next }
      if (lost.isGiven && next < lost.next) {
        logger.error(fields, 'a Kafka partition ends before the position of its consumer; not reading it')
        this.#positions.delete(streamName(topic, partition))
      } else {
        logger.error(
          fields,
          'Kafka no longer has the position of a consumer; reading from the start of the log',
        )
        this.start([start])
      }
    }
    return Object.keys(gone).length > 0
  }

  #toEnd(position: ReadPosition): void {
    const stream = streamName(position.topic, position.partition)
    this.#positions.delete(stream)
    this.#positions.set(stream, position)
  }
}
