import type { KafkaRecord } from '@platformatic/kafka'
import { decodeEnvelope } from '../../kernel/cloudevents.ts'
import { describeError } from '../../kernel/errors.ts'
import type { Delivery, OutboundMessage } from '../../ports/transport.ts'
import type { Rejected } from './fates.ts'
import { murmur2 } from './partitioner.ts'
import { recordOverhead } from './record-batch.ts'
import { bytesOf, writeText } from './record-bytes.ts'
import { messageHeaders, plainHeaders, prefix, type RecordHeaders } from './record-headers.ts'

/** A message as it goes to the broker: measured, and written when its batch is, so that every byte is copied once. */
export interface OutgoingRecord {
  readonly topic: string
  readonly key: string | null
  /** Of the key as UTF-8. */
  readonly keyBytes: number
  /** Of the key; `null` where there is none. */
  readonly hash: number | null
  readonly value: Uint8Array
  readonly headers: RecordHeaders
  /** About what it takes in a batch. */
  readonly bytes: number
}

/**
 * Record timestamps are left to the moment of sending: retention goes by them, and a message that waited in the outbox for
 * days may not be old on arrival. When it was published stands in `ce_time`.
 */
function encodeRecord({ envelope, address }: OutboundMessage, source: string): OutgoingRecord {
  const { key, payload } = envelope
  const keyBytes = key === null ? 0 : bytesOf(key)
  return measured(address, key, keyBytes, payload, messageHeaders(envelope, keyBytes, source))
}

/** One that is no message. */
export function recordOf(
  topic: string,
  key: string | null,
  value: Uint8Array,
  headers: readonly (readonly [string, string])[],
): OutgoingRecord {
  return measured(topic, key, key === null ? 0 : bytesOf(key), value, plainHeaders(headers))
}

function measured(
  topic: string,
  key: string | null,
  keyBytes: number,
  value: Uint8Array,
  headers: RecordHeaders,
): OutgoingRecord {
  const hash = key === null ? null : hashOf(key, keyBytes)
  const bytes = recordOverhead + keyBytes + value.length + headers.bytes
  return { topic, key, keyBytes, hash, value, headers, bytes }
}

const scratch = Buffer.alloc(1024)

function hashOf(key: string, bytes: number): number {
  if (bytes > scratch.length) return murmur2(Buffer.from(key))
  writeText(scratch, key, bytes, 0)
  return murmur2(scratch, 0, bytes)
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
