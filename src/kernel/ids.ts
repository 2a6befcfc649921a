import { createHash, randomFillSync } from 'node:crypto'

const hex = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, '0'))
const random = new Uint8Array(4096)
let used = random.length
let lastMs = 0
let counter = 0

/**
 * A UUIDv7 (RFC 9562), monotonic within the process (W4): the 12 bits after the time are a counter (section 6.2, method
 * 1) that starts anew each millisecond; when it runs out or the clock goes back, the time goes on from the last one used.
 * Order never rests on it: it only keeps index pages warm.
 */
export function newMessageId(): string {
  const now = Date.now()
  if (now > lastMs) {
    lastMs = now
    counter = 0
  } else if (++counter > 0xfff) {
    lastMs += 1
    counter = 0
  }
  if (used + 8 > random.length) {
    randomFillSync(random)
    used = 0
  }
  const at = used
  used += 8
  const digits = (i: number): string => hex[random[at + i]!]!
  return (
    timeText() +
    `-7${(0x1000 + counter).toString(16).slice(1)}-` +
    hex[(random[at]! & 0x3f) | 0x80]! +
    `${digits(1)}-${digits(2)}${digits(3)}${digits(4)}${digits(5)}${digits(6)}${digits(7)}`
  )
}

let textOfMs = -1
let text = ''

/** The milliseconds of `lastMs` as a UUID begins; made once for all ids of one. */
function timeText(): string {
  if (textOfMs !== lastMs) {
    const digits = lastMs.toString(16).padStart(12, '0')
    text = `${digits.slice(0, 8)}-${digits.slice(8)}`
    textOfMs = lastMs
  }
  return text
}

// Any fixed UUID serves as a name space (RFC 9562, 6.5); this one is Waybill's for ids of foreign messages.
const foreignNamespace = Buffer.from('6f1ad5a0c3c64bd2a0d1f62be1a4b6f7', 'hex')

/**
 * The id of a message that Waybill did not write: UUIDv5 of its CloudEvents source and id, so that every copy of it gets
 * the same inbox row and two sources may use the same id. The length stands before the source, so that no two pairs
 * run together to one name.
 */
export function foreignMessageId(source: string, id: string): string {
  return uuidOf(foreignNamespace, source, id)
}

const idempotencyNamespace = Buffer.from('b0c5f3a8e7d24f4f9a5b3c1d8e6f7a90', 'hex')

/** What names a message at one consumer: UUIDv5 of both, so that two consumers may call one API with the same message. */
export function idempotencyKey(consumer: string, id: string): string {
  return uuidOf(idempotencyNamespace, consumer, id)
}

const outputNamespace = Buffer.from('4c7e0d6a915b4b0e8f3a2d9c6b1e5f08', 'hex')

/**
 * The id of what a transform makes of a message: UUIDv5 of consumer, input, channel and how many it has put out there before. A
 * run after a rewind gives the same ids, so that a consumer with an inbox takes the copy for one, and people find one from
 * the other.
 */
export function outputMessageId(consumer: string, input: string, channel: string, index: number): string {
  return uuidOf(outputNamespace, consumer, `${input}:${channel}:${index}`)
}

function uuidOf(namespace: Uint8Array, first: string, second: string): string {
  const name = `${Buffer.byteLength(first)}:${first}${second}`
  const hash = createHash('sha1').update(namespace).update(name).digest().subarray(0, 16)
  hash[6] = (hash[6]! & 0x0f) | 0x50
  hash[8] = (hash[8]! & 0x3f) | 0x80
  const hex = hash.toString('hex')
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`
}

const uuidPattern = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/iu

export function isUuid(value: string): boolean {
  return uuidPattern.test(value)
}
