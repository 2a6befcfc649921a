import { WaybillError } from '../../kernel/errors.ts'
import type { FencedNote } from '../../ports/transport.ts'

/** Of the form below. A note that says another one was written by a newer version. */
const version = 1
const headBytes = 1 + 8 + 8 + 4
const idBytes = 16

/**
 * A note as bytes: version (1), epoch (8), number (8), count of rows (4), the sequence numbers as differences to the one before
 * (LEB128 of the zigzag form: neighbours take a byte), then the ids, 16 bytes each. 10,000 rows take less than 200 kB, so
 * that a transaction of that size needs one record and the broker's usual limit of 1 MB is enough.
 */
export function encodeNote({ epoch, number, rows }: FencedNote): Buffer {
  // A 64-bit difference in zigzag form has 10 groups of 7 bits at most.
  const bytes = Buffer.allocUnsafe(headBytes + rows.length * (10 + idBytes))
  bytes.writeUInt8(version, 0)
  bytes.writeBigInt64BE(epoch, 1)
  bytes.writeBigInt64BE(number, 9)
  bytes.writeUInt32BE(rows.length, 17)
  let at = headBytes
  let previous = 0n
  for (const { seq } of rows) {
    const difference = seq - previous
    previous = seq
    if (difference >= 0n && difference < 64n) {
      // Neighbours, and so nearly all.
      bytes[at++] = Number(difference) << 1
      continue
    }
    let rest = difference < 0n ? (-difference << 1n) - 1n : difference << 1n
    for (; rest > 127n; rest >>= 7n) bytes[at++] = Number(rest & 127n) | 128
    bytes[at++] = Number(rest)
  }
  for (const { id } of rows) at = writeUuid(bytes, id, at)
  return bytes.subarray(0, at)
}

/** Ids come back in lower case. Throws `WB_GUARANTEE_UNSUPPORTED` where these are not the bytes of a note. */
export function decodeNote(bytes: Buffer): FencedNote {
  if (bytes.length < headBytes || bytes[0] !== version) throw unreadable()
  const epoch = bytes.readBigInt64BE(1)
  const number = bytes.readBigInt64BE(9)
  const count = bytes.readUInt32BE(17)
  const seqs: bigint[] = []
  let at = headBytes
  let previous = 0n
  while (seqs.length < count) {
    let zigzag = 0n
    let group = 128
    for (let shift = 0n; group > 127; shift += 7n) {
      if (at === bytes.length) throw unreadable()
      group = bytes[at++]!
      zigzag |= BigInt(group & 127) << shift
    }
    previous += (zigzag & 1n) === 0n ? zigzag >> 1n : -((zigzag + 1n) >> 1n)
    seqs.push(previous)
  }
  if (bytes.length !== at + count * idBytes) throw unreadable()
  const rows = seqs.map((seq, i) => ({ seq, id: uuidAt(bytes, at + i * idBytes) }))
  return { epoch, number, rows }
}

const dash = 45
/** By character code. */
const digits = Uint8Array.from({ length: 128 }, (_, code) => {
  const digit = Number.parseInt(String.fromCodePoint(code), 16)
  return Number.isNaN(digit) ? 0 : digit
})

/** Answers where the next one goes. No text is made for it. */
function writeUuid(bytes: Buffer, id: string, at: number): number {
  for (let i = 0; i < id.length; i += 2) {
    if (id.charCodeAt(i) === dash) i += 1
    bytes[at++] = (digits[id.charCodeAt(i)]! << 4) | digits[id.charCodeAt(i + 1)]!
  }
  return at
}

function uuidAt(bytes: Buffer, at: number): string {
  const hex = bytes.toString('hex', at, at + idBytes)
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`
}

function unreadable(): WaybillError {
  return new WaybillError(
    'WB_GUARANTEE_UNSUPPORTED',
    'The last note in the positions topic cannot be read: a newer version of Waybill wrote it, or something else did. ' +
      'Upgrade every relay of this service, or give it a `positionsTopic` of its own.',
  )
}
