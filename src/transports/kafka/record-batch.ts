import type { OutgoingRecord } from './record.ts'
import { sizeOfCount, sizeOfFramed, writeCount, writeFramed } from './record-bytes.ts'
import { sizeOfHeaders, writeHeaders } from './record-headers.ts'

/**
 * A record batch of format 2, as the log keeps it: what the library is handed in place of messages. It would write each record from some
 * thirty small buffers, which costs several times what everything else of a send does.
 */
const offsets = {
  length: 8,
  behindLength: 12,
  magic: 16,
  checksum: 17,
  attributes: 21,
  lastOffsetDelta: 23,
  baseTimestamp: 27,
  maxTimestamp: 35,
  producerId: 43,
  producerEpoch: 51,
  baseSequence: 53,
  count: 57,
  records: 61,
} as const

const transactional = 1 << 4

/** Attributes and the delta to the batch's time stamp, a byte each and both 0. */
const recordHead = 2

/** -1: there is none. */
const nullLength = 1

/** Most that a record takes beside its parts. */
export const recordOverhead = 12

/** The batch of these records, one at least, without what {@link stamp} knows. Their time stamp is `now`. */
export function encodeBatch(records: readonly OutgoingRecord[], now: number): Buffer {
  let size: number = offsets.records
  for (let i = 0; i < records.length; i++) {
    const inner = sizeOfRecord(records[i]!, i)
    size += sizeOfCount(inner) + inner
  }
  const batch = Buffer.allocUnsafe(size)
  // Offset and leader's epoch are the broker's to write; and a batch that is not stamped has no attributes left over from other bytes.
  batch.fill(0, 0, offsets.records)
  batch.writeInt32BE(size - offsets.behindLength, offsets.length)
  batch[offsets.magic] = 2
  batch.writeInt32BE(records.length - 1, offsets.lastOffsetDelta)
  batch.writeBigInt64BE(BigInt(now), offsets.baseTimestamp)
  batch.writeBigInt64BE(BigInt(now), offsets.maxTimestamp)
  batch.writeInt32BE(records.length, offsets.count)
  let at: number = offsets.records
  for (let i = 0; i < records.length; i++) {
    const record = records[i]!
    at = writeCount(batch, sizeOfRecord(record, i), at)
    batch[at++] = 0
    batch[at++] = 0
    at = writeCount(batch, i, at)
    const { key, keyBytes, value } = record
    if (key === null) batch[at++] = nullLength
    else at = writeFramed(batch, key, keyBytes, at)
    at = writeCount(batch, value.length, at)
    batch.set(value, at)
    at = writeHeaders(batch, record.headers, key, keyBytes, at + value.length)
  }
  return batch
}

function sizeOfRecord({ key, keyBytes, value, headers }: OutgoingRecord, offsetDelta: number): number {
  const keySize = key === null ? 1 : sizeOfFramed(keyBytes)
  return recordHead + sizeOfCount(offsetDelta) + keySize + sizeOfFramed(value.length) + sizeOfHeaders(headers)
}

/** How many records it holds. */
export function countOf(batch: Buffer): number {
  return batch.readInt32BE(offsets.count)
}

/** Who sends it. */
export interface Stamp {
  /** -1: nobody whom the broker knows. */
  readonly producerId: bigint
  readonly producerEpoch: number
  /** Of its first record. */
  readonly sequence: number
  readonly isTransactional: boolean
}

/** May be done again: a batch that is sent once more may have another sender. */
export function stamp(
  batch: Buffer,
  { producerId, producerEpoch, sequence, isTransactional }: Stamp,
  checksum: (bytes: Buffer) => number,
): void {
  batch.writeInt16BE(isTransactional ? transactional : 0, offsets.attributes)
  batch.writeBigInt64BE(producerId, offsets.producerId)
  batch.writeInt16BE(producerEpoch, offsets.producerEpoch)
  batch.writeInt32BE(sequence, offsets.baseSequence)
  batch.writeUInt32BE(checksum(batch.subarray(offsets.attributes)), offsets.checksum)
}
