import type { MessageToProduce } from '@platformatic/kafka'
import { encodeBatch } from './record-batch.ts'
import type { OutgoingRecord } from './record.ts'

/** A record with its place. */
export interface PlacedRecord {
  readonly record: OutgoingRecord
  readonly partition: number
  /** Which message of the call it is; `null`: the note. */
  readonly index: number | null
}

/** What goes to one partition in one request. */
export interface Batch<Placed extends PlacedRecord = PlacedRecord> {
  readonly topic: string
  readonly partition: number
  readonly records: Placed[]
}

/** All batches of one send together: the broker's limit of a request is 100 MB. */
const sendBytes = 32 * 1_048_576

/**
 * Cuts the records into sends, in order. The broker takes one batch for each partition in a request, and limits a batch by
 * its topic's `max.message.bytes`; so a send ends where a batch would pass `limitOf` its topic. One larger than that goes
 * alone.
 */
export function cutIntoSends<Placed extends PlacedRecord>(
  records: readonly Placed[],
  limitOf: (topic: string) => number,
): Placed[][] {
  const sends: Placed[][] = []
  let current: Placed[] = []
  let batches = new Places<number>()
  let total = 0
  for (const placed of records) {
    const { topic, bytes } = placed.record
    const before = batches.get(placed) ?? 0
    if ((before > 0 && before + bytes > limitOf(topic)) || (total > 0 && total + bytes > sendBytes)) {
      sends.push(current)
      current = []
      batches = new Places()
      total = 0
    }
    batches.set(placed, (batches.get(placed) ?? 0) + bytes)
    total += bytes
    current.push(placed)
  }
  if (current.length > 0) sends.push(current)
  return sends
}

export function placeOf({ record, partition }: PlacedRecord): string {
  return `${record.topic}/${partition}`
}

/** By topic and partition, without a text made for each record that is looked up. */
class Places<Value> {
  readonly #topics = new Map<string, Map<number, Value>>()

  get({ record, partition }: PlacedRecord): Value | undefined {
    return this.#topics.get(record.topic)?.get(partition)
  }

  set({ record, partition }: PlacedRecord, value: Value): void {
    const partitions = this.#topics.get(record.topic)
    if (partitions === undefined) this.#topics.set(record.topic, new Map([[partition, value]]))
    else partitions.set(partition, value)
  }
}

/** One for each partition, in which the records keep their order. */
export function batchesOf<Placed extends PlacedRecord>(send: readonly Placed[]): Batch<Placed>[] {
  const batches: Batch<Placed>[] = []
  const places = new Places<Batch<Placed>>()
  for (const placed of send) {
    const batch = places.get(placed)
    if (batch === undefined) {
      const { record, partition } = placed
      const first = { topic: record.topic, partition, records: [placed] }
      places.set(placed, first)
      batches.push(first)
    } else {
      batch.records.push(placed)
    }
  }
  return batches
}

/** As our own producers take them: the value of each message is a whole batch. */
export function messagesOf(batches: readonly Batch[]): MessageToProduce<Buffer, Buffer, Buffer, Buffer>[] {
  const now = Date.now()
  return batches.map(({ topic, partition, records }) => {
    const value = encodeBatch(
      records.map(({ record }) => record),
      now,
    )
    return { topic, partition, value }
  })
}
