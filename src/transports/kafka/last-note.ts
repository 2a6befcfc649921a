import type { Consumer, RecordsBatch } from '@platformatic/kafka'
import { systemClock } from '../../kernel/clock.ts'
import type { KafkaLibrary } from './client.ts'

const control = 32
const transactional = 16
const commitMarker = 1
/** How far before the end the search begins: a note and its marker are two offsets. */
const firstStep = 64n
const fetchBytes = 8 * 1_048_576
const emptyPauseMs = 20

/**
 * Finds the last committed value under a key, batch by batch in offset order. It reads the transactions' own markers, and so
 * needs no isolation level: a producer's data counts once its commit marker has come. That is also right on a compacted topic,
 * since the cleaner keeps a marker as long as any batch of its transaction, and it does not wait for transactions that others
 * have open in the partition.
 */
export class NoteScan {
  readonly #key: Buffer
  readonly #pending = new Map<bigint, Buffer>()
  #last: Buffer | undefined

  constructor(key: string) {
    this.#key = Buffer.from(key)
  }

  get last(): Buffer | undefined {
    return this.#last
  }

  accept({ attributes, producerId, records }: RecordsBatch): void {
    if ((attributes & control) !== 0) {
      const key = records[0]?.key
      // The cleaner leaves batches without records behind.
      if (key === undefined || key === null) return
      const value = this.#pending.get(producerId)
      // Version, type: 0 abort, 1 commit.
      if (value !== undefined && key.readInt16BE(2) === commitMarker) this.#last = value
      this.#pending.delete(producerId)
      return
    }
    if ((attributes & transactional) === 0) return
    for (const { key, value } of records) {
      if (key !== null && value !== null && this.#key.equals(key)) this.#pending.set(producerId, value)
    }
  }
}

export interface NotePlace {
  readonly topic: string
  readonly partition: number
  readonly key: string
}

export interface FoundNote {
  readonly value: Buffer | undefined
  readonly lineage: string
}

/**
 * The last committed value under the key, up to the end of the partition at the time of the call. Looks from the end backwards,
 * since the notes of a busy partition are many. `client` belongs to this call alone: its fetch sessions know one reader.
 */
export async function findLastNote(
  kafka: KafkaLibrary,
  client: Consumer,
  { topic, partition, key }: NotePlace,
  signal: AbortSignal,
): Promise<FoundNote> {
  client.topics.trackAll(topic)
  const metadata = await client.metadata({ topics: [topic], forceUpdate: true })
  const topicId = metadata.topics.get(topic)!.id
  const offsetAt = async (timestamp: bigint): Promise<bigint> => {
    const isolationLevel = kafka.FetchIsolationLevels.READ_UNCOMMITTED
    const found = await client.listOffsets({
      topics: [topic],
      partitions: { [topic]: [partition] },
      timestamp,
      isolationLevel,
    })
    return found.get(topic)![partition]!
  }
  const end = await offsetAt(-1n)
  const start = await offsetAt(-2n)
  for (let step = firstStep; ; step *= 64n) {
    const from = end - step > start ? end - step : start
    const scan = new NoteScan(key)
    for (let next = from; next < end;) {
      signal.throwIfAborted()
      const batches = await fetchFrom(kafka, client, topic, topicId, partition, next)
      for (const batch of batches) scan.accept(batch)
      const last = batches.at(-1)
      if (last !== undefined) next = last.firstOffset + BigInt(last.lastOffsetDelta) + 1n
      else await systemClock.sleep(emptyPauseMs, signal)
    }
    if (scan.last !== undefined || from === start) {
      return { value: scan.last, lineage: `${metadata.id}/${topicId}` }
    }
  }
}

async function fetchFrom(
  kafka: KafkaLibrary,
  client: Consumer,
  topic: string,
  topicId: string,
  partition: number,
  fetchOffset: bigint,
): Promise<RecordsBatch[]> {
  const metadata = await client.metadata({ topics: [topic] })
  const response = await client.fetch({
    node: metadata.topics.get(topic)!.partitions[partition]!.leader,
    topics: [
      {
        topicId,
        partitions: [
          {
            partition,
            fetchOffset,
            partitionMaxBytes: fetchBytes,
            currentLeaderEpoch: -1,
            lastFetchedEpoch: -1,
          },
        ],
      },
    ],
    maxBytes: fetchBytes,
    maxWaitTime: 100,
    minBytes: 1,
    isolationLevel: kafka.FetchIsolationLevels.READ_UNCOMMITTED,
  })
  return response.responses[0]?.partitions[0]?.records ?? []
}
