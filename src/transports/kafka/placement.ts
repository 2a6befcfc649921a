import type { Producer } from '@platformatic/kafka'
import { withDeadline } from '../../kernel/deadline.ts'
import type { Fate, FencedOutcome } from '../../ports/transport.ts'
import { abortedTogether, notSent, notTaken } from './fates.ts'
import { isUnknownTopic, kafkaErrorName } from './kafka-error.ts'
import { bucketOf } from './partitioner.ts'
import type { OutgoingRecord } from './record.ts'
import type { TopicDesk } from './topic-desk.ts'
import type { PlacedRecord } from './sends.ts'
import { lostNotes } from './transaction-judgement.ts'

interface Placed {
  readonly records: PlacedRecord[]
}
type NotBegun = Extract<FencedOutcome, { outcome: 'rejected' | 'unknown' }>

/** Finds the topics of a transaction's records, and their partitions. */
export class Placement {
  readonly #topics: TopicDesk
  readonly #positionsTopic: string
  /** Messages without a key go round. */
  #turn = 0

  constructor(topics: TopicDesk, positionsTopic: string) {
    this.#topics = topics
    this.#positionsTopic = positionsTopic
  }

  /**
   * The records with their partitions, or why the transaction is not begun: `unknown` where the topic of the notes has gone. A
   * transaction without a note has `null` for its partition.
   */
  async place(
    client: Producer,
    records: readonly OutgoingRecord[],
    notePartition: number | null,
    timeoutMs: number,
  ): Promise<Placed | NotBegun> {
    const end = new AbortController()
    let trouble: string | undefined
    const look = async (): Promise<Placed | NotBegun> => {
      const counts = new Map<string, number>()
      const missing = new Map<string, Fate>()
      for (const topic of new Set(records.map((record) => record.topic))) {
        const state = await this.#topics.find(client, topic, end.signal, (code) => (trouble = code))
        if (state === undefined) return all(records, notTaken(trouble ?? 'WB_TIMED_OUT'))
        if ('code' in state) missing.set(topic, notSent(state.code, state.reason))
        else counts.set(topic, state.partitions)
      }
      if (missing.size > 0) {
        const fates = records.map(({ topic }) => missing.get(topic) ?? abortedTogether)
        return { outcome: 'rejected', fates }
      }
      if (notePartition !== null && !(await this.#hasNotes(client, notePartition))) return lostNotes
      return { records: records.map((record, index) => this.#placed(record, index, counts)) }
    }
    try {
      return await withDeadline(look(), timeoutMs, 'Finding topics')
    } catch (error) {
      return all(records, notTaken(trouble ?? kafkaErrorName(error)))
    } finally {
      end.abort()
    }
  }

  #placed(record: OutgoingRecord, index: number, counts: ReadonlyMap<string, number>): PlacedRecord {
    const count = counts.get(record.topic)!
    const { hash } = record
    const partition = hash === null ? this.#turn++ % count : bucketOf(hash, count)
    return { record, partition, index }
  }

  /** The library would write to another partition where there is none of this number. */
  async #hasNotes(client: Producer, partition: number): Promise<boolean> {
    try {
      const topic = this.#positionsTopic
      const metadata = await client.metadata({ topics: [topic], retries: 0 })
      return metadata.topics.get(topic)!.partitionsCount > partition
    } catch (error) {
      if (isUnknownTopic(error)) return false
      throw error
    }
  }
}

function all(records: readonly unknown[], fate: Fate): NotBegun {
  return { outcome: 'rejected', fates: records.map(() => fate) }
}
