import type { Consumer, GroupAssignment } from '@platformatic/kafka'
import type { Logger } from '../../kernel/logger.ts'
import type { Delivery } from '../../ports/transport.ts'
import type { FetchResponse } from './client.ts'
import { committed } from './committed.ts'
import type { NextOffset } from './commits.ts'
import { responseIn } from './kafka-error.ts'
import { decodeRecord, streamName } from './record.ts'

const offsetOutOfRange = 1
const earliest = -2n

export interface ReadPosition {
  readonly topic: string
  readonly partition: number
  /** The next offset to be read. */
  next: bigint
}

/** Where each partition of an assignment is read next. */
export class Positions {
  readonly #client: Consumer
  readonly #assigned: GroupAssignment[]
  readonly #channels: ReadonlyMap<string, readonly string[]>
  readonly #assignment: number
  readonly #positions = new Map<string, ReadPosition>()

  constructor(
    client: Consumer,
    assigned: readonly GroupAssignment[],
    channels: ReadonlyMap<string, readonly string[]>,
    assignment: number,
  ) {
    this.#client = client
    this.#assigned = assigned.filter(({ partitions }) => partitions.length > 0)
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

  /** From what the group has committed; where that is nothing, from the start. */
  async locate(): Promise<void> {
    if (this.#assigned.length === 0) return
    const committed = await this.#client.listCommittedOffsets({ topics: this.#assigned })
    const missing: Record<string, number[]> = {}
    for (const { topic, partitions } of this.#assigned) {
      for (const partition of partitions) {
        const next = committed.get(topic)?.[partition] ?? -1n
        if (next >= 0n) this.#set(topic, partition, next)
        else (missing[topic] ??= []).push(partition)
      }
    }
    for (const { topic, partition, start } of await this.#starts(missing)) this.#set(topic, partition, start)
  }

  /**
   * The deliveries in an answer, and moves on past them. A batch can start below what was asked for; what lies there was
   * handed out before, or is settled, and is dropped.
   */
  *accept(response: FetchResponse, names: ReadonlyMap<string, string>): Generator<Delivery> {
    for (const { topicId, partitions } of response.responses) {
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
   * Where the log no longer has a position (retention took it, or the topic was made anew), reading starts at what the log
   * has first: nothing that is there is passed over. Returns whether that was the trouble.
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
    for (const { topic, partition, start } of await this.#starts(gone)) {
      const wanted = this.#positions.get(streamName(topic, partition))?.next
      const fields = { topic, partition, wanted, start }
      logger.error(
        fields,
        'Kafka no longer has the position of a consumer; reading from the start of the log',
      )
      this.#set(topic, partition, start)
    }
    return Object.keys(gone).length > 0
  }

  /** Where the log of these partitions starts. */
  async #starts(
    partitions: Record<string, number[]>,
  ): Promise<{ topic: string; partition: number; start: bigint }[]> {
    const topics = Object.keys(partitions)
    if (topics.length === 0) return []
    const starts = await this.#client.listOffsets({ topics, partitions, timestamp: earliest })
    return topics.flatMap((topic) =>
      partitions[topic]!.map((partition) => ({
        topic,
        partition,
        start: starts.get(topic)?.[partition] ?? 0n,
      })),
    )
  }

  #toEnd(position: ReadPosition): void {
    const stream = streamName(position.topic, position.partition)
    this.#positions.delete(stream)
    this.#positions.set(stream, position)
  }

  #set(topic: string, partition: number, next: bigint): void {
    this.#positions.set(streamName(topic, partition), { topic, partition, next })
  }
}
