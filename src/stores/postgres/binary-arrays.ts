import { WaybillError } from '../../kernel/errors.ts'

/** Of the format: dimensions, whether there are NULLs, the element's type, and the one dimension's length and first index. */
const headBytes = 20

/** Of each element, before it: how long it is. */
const lengthBytes = 4

interface Type {
  readonly oid: number
  readonly bytes: number
}

const int4: Type = { oid: 23, bytes: 4 }
const int8: Type = { oid: 20, bytes: 8 }
const tid: Type = { oid: 27, bytes: 6 }
const uuid: Type = { oid: 2950, bytes: 16 }

/**
 * Array parameters as the server keeps them. As text the driver looks for quotes in each element and the server parses each, which took a
 * tenth of the server's time for a batch.
 */
class ArrayWriter {
  readonly array: Buffer
  readonly #element: number
  #at = 0

  constructor({ oid, bytes }: Type, count: number) {
    this.array = Buffer.allocUnsafe(headBytes + count * (lengthBytes + bytes))
    this.#element = bytes
    for (const word of [1, 0, oid, count, 1]) this.#at = this.array.writeInt32BE(word, this.#at)
  }

  /** Answers where the next element is to be written. */
  next(): number {
    const at = this.array.writeInt32BE(this.#element, this.#at)
    this.#at = at + this.#element
    return at
  }
}

/** An `int[]` of one number of each thing. */
export function intArray<T>(things: readonly T[], numberOf: (thing: T) => number): Buffer {
  const writer = new ArrayWriter(int4, things.length)
  for (const thing of things) writer.array.writeInt32BE(numberOf(thing), writer.next())
  return writer.array
}

/** A `bigint[]`. */
export function bigintArray<T>(things: readonly T[], numberOf: (thing: T) => bigint): Buffer {
  const writer = new ArrayWriter(int8, things.length)
  for (const thing of things) writer.array.writeBigInt64BE(numberOf(thing), writer.next())
  return writer.array
}

/** A `tid[]`, of places as `RowBytes` reads them. */
export function placeArray<T>(things: readonly T[], placeOf: (thing: T) => number): Buffer {
  const writer = new ArrayWriter(tid, things.length)
  for (const thing of things) writer.array.writeUIntBE(placeOf(thing), writer.next(), tid.bytes)
  return writer.array
}

const notHex = 0xff
const hexValues = new Uint8Array(128).fill(notHex)
for (const [value, digit] of '0123456789abcdef'.split('').entries()) {
  hexValues[digit.charCodeAt(0)] = value
  hexValues[digit.toUpperCase().charCodeAt(0)] = value
}

/** Where the first digit of each byte stands in the text. */
const places = [0, 2, 4, 6, 9, 11, 14, 16, 19, 21, 24, 26, 28, 30, 32, 34] as const
const textLength = 36

/** A `uuid[]`. Throws where one is no UUID: its neighbours would be noted under other names. */
export function uuidArray<T>(things: readonly T[], idOf: (thing: T) => string): Buffer {
  const writer = new ArrayWriter(uuid, things.length)
  for (const thing of things) {
    const id = idOf(thing)
    let at = writer.next()
    let isHex = id.length === textLength
    for (const place of places) {
      const high = hexValues[id.charCodeAt(place)] ?? notHex
      const low = hexValues[id.charCodeAt(place + 1)] ?? notHex
      if (high === notHex || low === notHex) isHex = false
      writer.array[at++] = (high << 4) | low
    }
    if (!isHex) throw new WaybillError('WB_ENVELOPE_INVALID', 'A message id is not a UUID.')
  }
  return writer.array
}
