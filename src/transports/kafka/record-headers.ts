import { attributeNames, callersHeaders, isoOf, sharedHeaders } from '../../kernel/cloudevents.ts'
import type { Envelope } from '../../kernel/message.ts'
import {
  bytesOf,
  framed,
  sizeOfCount,
  sizeOfFramed,
  writeCount,
  writeFew,
  writeFramed,
} from './record-bytes.ts'

export const prefix = 'ce_'
const names = attributeNames(prefix)

/** The headers of a record, measured. Beside the payload they are most of it, and what differs in them is three short texts. */
export interface RecordHeaders {
  readonly count: number
  /** Of all, without their count. */
  readonly bytes: number
  /** The caller's own, encoded. */
  readonly own: Uint8Array
  /** What is the same in message after message, encoded. */
  readonly shared: Uint8Array
  /** Of a message: `ce_id` and `ce_time`, and its key once more as `ce_partitionkey`. */
  readonly id: string | null
  readonly time: string
}

const idName = framed(names.id)
const timeName = framed(names.time)
const keyName = framed(names.partitionkey)
const none = Buffer.alloc(0)

/** Of a record that is no message. */
export function plainHeaders(headers: readonly (readonly [string, string])[]): RecordHeaders {
  const own = encodeHeaders(headers)
  return { count: headers.length, bytes: own.length, own, shared: none, id: null, time: '' }
}

export function messageHeaders(envelope: Envelope, keyBytes: number, source: string): RecordHeaders {
  const callers = callersHeaders(envelope, names)
  const own = encodeHeaders(callers)
  const { count, bytes: shared } = sharedOf(envelope, source)
  const { id, key } = envelope
  const time = isoOf(envelope.createdAt)
  let bytes = own.length + shared.length + idName.length + sizeOfFramed(bytesOf(id))
  bytes += timeName.length + sizeOfFramed(time.length)
  if (key !== null) bytes += keyName.length + sizeOfFramed(keyBytes)
  return { count: callers.length + count + (key === null ? 2 : 3), bytes, own, shared, id, time }
}

export function sizeOfHeaders({ count, bytes }: RecordHeaders): number {
  return sizeOfCount(count) + bytes
}

/** Answers where the next byte goes. */
export function writeHeaders(
  to: Buffer,
  { count, own, shared, id, time }: RecordHeaders,
  key: string | null,
  keyBytes: number,
  from: number,
): number {
  let at = writeCount(to, count, from)
  if (own.length > 0) {
    to.set(own, at)
    at += own.length
  }
  if (id === null) return at
  to.set(shared, at)
  at = writeFew(to, idName, at + shared.length)
  at = writeFramed(to, id, bytesOf(id), at)
  at = writeFew(to, timeName, at)
  at = writeFramed(to, time, time.length, at)
  return key === null ? at : writeFramed(to, key, keyBytes, writeFew(to, keyName, at))
}

function encodeHeaders(headers: readonly (readonly [string, string])[]): Buffer {
  if (headers.length === 0) return none
  let size = 0
  for (const [name, text] of headers) size += sizeOfFramed(bytesOf(name)) + sizeOfFramed(bytesOf(text))
  const bytes = Buffer.allocUnsafe(size)
  let at = 0
  for (const [name, text] of headers) {
    at = writeFramed(bytes, name, bytesOf(name), at)
    at = writeFramed(bytes, text, bytesOf(text), at)
  }
  return bytes
}

interface Shared {
  readonly channel: string
  readonly contentType: string
  readonly source: string
  readonly count: number
  readonly bytes: Buffer
}

/** By channel and content type; the one used last is asked first. */
const known = new Map<string, Shared>()
let last: Shared | undefined

function sharedOf(envelope: Envelope, source: string): Shared {
  const { channel, contentType } = envelope
  if (last?.channel === channel && last.contentType === contentType && last.source === source) return last
  const name = JSON.stringify([channel, contentType, source])
  let shared = known.get(name)
  if (shared === undefined) {
    const headers = sharedHeaders(envelope, source, names)
    shared = { channel, contentType, source, count: headers.length, bytes: encodeHeaders(headers) }
    // Content types are the caller's, and may be made up for each message.
    if (known.size >= 1000) known.clear()
    known.set(name, shared)
  }
  last = shared
  return shared
}
