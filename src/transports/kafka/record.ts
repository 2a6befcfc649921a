import type { KafkaRecord } from '@platformatic/kafka'
import { attributeNames, decodeEnvelope, encodeHeaders } from '../../kernel/cloudevents.ts'
import { describeError } from '../../kernel/errors.ts'
import type { Delivery, OutboundMessage } from '../../ports/transport.ts'
import type { Rejected } from './fates.ts'
import { recordOverhead } from './record-batch.ts'
import { RecordBytes, sizeOfCount, writeCount } from './record-bytes.ts'

const prefix = 'ce_'
const names = attributeNames(prefix)

/** A message in the form that goes to the broker: the parts of a record, as they stand in a batch. */
export interface OutgoingRecord {
  readonly topic: string
  /** Of the key; `null` where there is none. */
  readonly hash: number | null
  /** The key and the length of the value, encoded. */
  readonly head: Buffer
  readonly value: Uint8Array
  /** Encoded. */
  readonly headers: Buffer
  /** About what it takes in a batch. */
  readonly bytes: number
}

/** Filled by one record after another: nothing here waits. */
const bytes = new RecordBytes()

/**
 * Record timestamps are left to the moment of sending: retention goes by them, and a message that waited in the outbox for
 * days may not be old on arrival. When it was published stands in `ce_time`.
 */
function encodeRecord({ envelope, address }: OutboundMessage, source: string): OutgoingRecord {
  return recordOf(address, envelope.key, envelope.payload, encodeHeaders(envelope, source, names))
}

export function recordOf(
  topic: string,
  key: string | null,
  value: Uint8Array,
  headers: readonly (readonly [string, string])[],
): OutgoingRecord {
  bytes.begin()
  let hash: number | null = null
  if (key === null) {
    bytes.none()
  } else {
    hash = bytes.hash(bytes.text(key))
  }
  bytes.count(value.length)
  const headLength = bytes.length
  bytes.count(headers.length)
  for (const [name, text] of headers) {
    bytes.bytes(cached(name))
    if (constants.has(name)) bytes.bytes(cached(text))
    else bytes.text(text)
  }
  const head = bytes.view(0, headLength)
  const rest = bytes.view(headLength, bytes.length)
  return { topic, hash, head, value, headers: rest, bytes: recordOverhead + bytes.length + value.length }
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

/** With its length. Most of what encoding would do are these few texts, over and over. */
function cached(text: string): Buffer {
  let framed = cache.get(text)
  if (framed === undefined) {
    const length = Buffer.byteLength(text)
    framed = Buffer.alloc(sizeOfCount(length) + length)
    framed.write(text, writeCount(framed, length, 0))
    // Header names are the caller's, and may be made up for each message.
    if (cache.size >= 1000) cache.clear()
    cache.set(text, framed)
  }
  return framed
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
