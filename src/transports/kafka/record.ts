import type { KafkaRecord } from '@platformatic/kafka'
import { decodeEnvelope, encodeHeaders } from '../../kernel/cloudevents.ts'
import { describeError } from '../../kernel/errors.ts'
import type { Delivery, OutboundMessage } from '../../ports/transport.ts'
import type { Rejected } from './fates.ts'
import { murmur2 } from './partitioner.ts'

const prefix = 'ce_'

/** A message in the form that goes to the broker. */
export interface OutgoingRecord {
  readonly topic: string
  readonly key: Buffer | null
  /** Of the key; 0 where there is none. */
  readonly hash: number
  readonly value: Buffer
  readonly headers: Map<Buffer, Buffer>
  /** About what it takes in a batch. */
  readonly bytes: number
}

/**
 * Record timestamps are left to the moment of sending: retention goes by them, and a message that waited in the outbox for
 * days may not be old on arrival. When it was published stands in `ce_time`.
 */
function encodeRecord({ envelope, address }: OutboundMessage, source: string): OutgoingRecord {
  const { payload } = envelope
  const key = envelope.key === null ? null : Buffer.from(envelope.key)
  const value = Buffer.from(payload.buffer, payload.byteOffset, payload.byteLength)
  const headers = new Map<Buffer, Buffer>()
  let bytes = value.length + (key?.length ?? 0) + 32
  for (const [name, text] of encodeHeaders(envelope, source, prefix)) {
    const nameBytes = cached(name)
    const textBytes = constants.has(name) ? cached(text) : Buffer.from(text)
    headers.set(nameBytes, textBytes)
    bytes += nameBytes.length + textBytes.length + 4
  }
  return { topic: address, key, hash: key === null ? 0 : murmur2(key), value, headers, bytes }
}

/** The record, or why this message can never be sent. */
export function encodeWithin(
  message: OutboundMessage,
  source: string,
  maxBytes: number,
): OutgoingRecord | Rejected {
  try {
    const record = encodeRecord(message, source)
    if (record.value.length <= maxBytes) return record
    return refuse(
      'WB_MESSAGE_TOO_LARGE',
      `It has ${record.value.length} bytes; this transport takes ${maxBytes}.`,
    )
  } catch (error) {
    return refuse('WB_ENVELOPE_INVALID', `It cannot be written as a record (${describeError(error).code}).`)
  }
}

function refuse(code: string, reason: string): Rejected {
  return { outcome: 'rejected', scope: 'message', retryable: false, code, reason }
}

/** Headers whose values are the same in message after message. */
const constants = new Set(['waybill-envelope', 'ce_specversion', 'ce_source', 'ce_type', 'content-type'])
const cache = new Map<string, Buffer>()

/** Most of what encoding would allocate are these few texts, over and over. */
function cached(text: string): Buffer {
  let bytes = cache.get(text)
  if (bytes === undefined) {
    // Header names are the caller's, and may be made up for each message.
    if (cache.size >= 1000) cache.clear()
    cache.set(text, (bytes = Buffer.from(text)))
  }
  return bytes
}

/** Where a record was read. */
export interface RecordPlace {
  readonly topic: string
  readonly partition: number
  readonly offset: bigint
  readonly timestamp: bigint
  readonly assignment: number
}

export function streamName(topic: string, partition: number): string {
  return `${topic}/${partition}`
}

/** A null value (a tombstone of a compacted topic) arrives as an empty payload. */
export function decodeRecord(record: KafkaRecord, place: RecordPlace, channels: readonly string[]): Delivery {
  const { topic, partition, offset, timestamp, assignment } = place
  const payload = record.value ?? Buffer.alloc(0)
  const at = { stream: streamName(topic, partition), position: offset, assignment }
  try {
    const envelope = decodeEnvelope(
      {
        headers: record.headers.map(([name, value]) => [name?.toString() ?? '', value?.toString() ?? '']),
        payload,
        key: record.key === null ? null : keyText(record.key),
        channels,
        time: new Date(Number(timestamp)),
        // With the time stamp: a topic that is removed and made again counts from 0, and its messages are new ones.
        place: { source: `kafka:${topic}`, id: `${partition}/${offset}/${timestamp}` },
      },
      prefix,
    )
    return { ...at, envelope, raw: null }
  } catch (error) {
    return { ...at, envelope: null, raw: { payload, error: describeError(error).message } }
  }
}

const strict = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/** Keys of others may be any bytes; as hexadecimal digits two of them stay two. */
function keyText(key: Buffer): string {
  try {
    return strict.decode(key)
  } catch {
    return key.toString('hex')
  }
}
