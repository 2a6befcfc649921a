import type { OutgoingRecord } from './record.ts'

/** A record with its place. */
export interface PlacedRecord {
  readonly record: OutgoingRecord
  readonly partition: number
  /** Which message of the call it is; `null`: the note. */
  readonly index: number | null
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
  let batches = new Map<string, number>()
  let total = 0
  for (const placed of records) {
    const { topic, bytes } = placed.record
    const place = placeOf(placed)
    const before = batches.get(place) ?? 0
    if ((before > 0 && before + bytes > limitOf(topic)) || (total > 0 && total + bytes > sendBytes)) {
      sends.push(current)
      current = []
      batches = new Map()
      total = 0
    }
    batches.set(place, (batches.get(place) ?? 0) + bytes)
    total += bytes
    current.push(placed)
  }
  if (current.length > 0) sends.push(current)
  return sends
}

export function placeOf({ record, partition }: PlacedRecord): string {
  return `${record.topic}/${partition}`
}

/** As the library takes it. */
export function messageOf({ record, partition }: PlacedRecord): {
  topic: string
  partition: number
  key?: Buffer
  value: Buffer
  headers: Map<Buffer, Buffer>
} {
  const { topic, key, value, headers } = record
  return { topic, partition, value, headers, ...(key === null ? {} : { key }) }
}
