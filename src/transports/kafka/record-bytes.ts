import { murmur2 } from './partitioner.ts'

const chunkBytes = 65_536

/**
 * Writes parts of records one behind another, into chunks that many of them share: a buffer for each text costs more than the text.
 * Lengths are Kafka's variable ones (zigzag: the lowest bit is the sign).
 */
export class RecordBytes {
  #chunk = Buffer.allocUnsafe(chunkBytes)
  #start = 0
  #at = 0

  /** What was begun before and not ended is forgotten. */
  begin(): void {
    this.#start = this.#at
  }

  /** Where the next byte goes, counted from what was begun. */
  get length(): number {
    return this.#at - this.#start
  }

  count(value: number): void {
    this.#reserve(mostOfCount)
    this.#at = writeCount(this.#chunk, value, this.#at)
  }

  /** That there is none. */
  none(): void {
    this.#reserve(1)
    this.#chunk[this.#at++] = 1
  }

  /** Its length in bytes, and the text as UTF-8. Answers the number of bytes without the length. */
  text(text: string): number {
    this.#reserve(mostOfCount + 3 * text.length)
    // As long as it would be in ASCII, which it nearly always is.
    const from = writeCount(this.#chunk, text.length, this.#at)
    const written = this.#chunk.write(text, from)
    this.#at = from + written
    if (written === text.length) return written
    const behind = this.#at - written - sizeOfCount(text.length)
    this.#at = writeCount(this.#chunk, written, behind)
    this.#at += this.#chunk.write(text, this.#at)
    return written
  }

  /** As they are. */
  bytes(bytes: Uint8Array): void {
    this.#reserve(bytes.length)
    this.#chunk.set(bytes, this.#at)
    this.#at += bytes.length
  }

  /** Of the last so many bytes, as a key is hashed. */
  hash(length: number): number {
    return murmur2(this.#chunk, this.#at - length, this.#at)
  }

  /** Of what was begun. */
  view(from: number, to: number): Buffer {
    return this.#chunk.subarray(this.#start + from, this.#start + to)
  }

  #reserve(bytes: number): void {
    if (this.#at + bytes <= this.#chunk.length) return
    const begun = this.view(0, this.length)
    this.#chunk = Buffer.allocUnsafe(Math.max(chunkBytes, 2 * (begun.length + bytes)))
    this.#chunk.set(begun)
    this.#start = 0
    this.#at = begun.length
  }
}

const mostOfCount = 5

/** Of a number from 0 to 2^30. Answers where the next byte goes. */
export function writeCount(to: Buffer, value: number, at: number): number {
  let rest = value << 1
  while (rest > 0x7f) {
    to[at++] = (rest & 0x7f) | 0x80
    rest >>>= 7
  }
  to[at++] = rest
  return at
}

export function sizeOfCount(value: number): number {
  let size = 1
  for (let rest = value >>> 6; rest > 0; rest >>>= 7) size += 1
  return size
}
