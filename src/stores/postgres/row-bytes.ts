/** -1: NULL. */
const lengthBytes = 4

/** From 1970 to 2000, where PostgreSQL's times begin. */
const epochMicros = 946_684_800_000_000

/**
 * A row in the binary format, as it arrived. Each call reads the next column, whose type the caller knows: as it reads, it makes
 * nothing that is not asked for.
 */
export class RowBytes {
  readonly #bytes: Buffer
  #at: number

  /** `at`: where the first column begins. */
  constructor(bytes: Buffer, at: number) {
    this.#bytes = bytes
    this.#at = at
  }

  /** int4; 0 for NULL. */
  int(): number {
    const at = this.#next()
    return at === null ? 0 : this.#bytes.readInt32BE(at)
  }

  /** int8, not NULL. */
  bigint(): bigint {
    return this.#bytes.readBigInt64BE(this.#next()!)
  }

  /** boolean; `false` for NULL. */
  boolean(): boolean {
    const at = this.#next()
    return at !== null && this.#bytes[at] === 1
  }

  /** Of a text, or of anything else that is written as one. */
  text(): string | null {
    const at = this.#next()
    return at === null ? null : this.#bytes.toString('utf8', at, this.#at)
  }

  /** bytea. The bytes themselves: no copy. */
  payload(): Uint8Array | null {
    const at = this.#next()
    return at === null ? null : this.#bytes.subarray(at, this.#at)
  }

  /** timestamptz, in milliseconds since 1970. */
  time(): number | null {
    const at = this.#next()
    if (at === null) return null
    // Within 285 years of 2000 every microsecond is a number of its own.
    return (this.#bytes.readInt32BE(at) * 2 ** 32 + this.#bytes.readUInt32BE(at + 4) + epochMicros) / 1000
  }

  /** tid, not NULL: block and line as one number. */
  place(): number {
    const at = this.#next()!
    return this.#bytes.readUInt32BE(at) * 2 ** 16 + this.#bytes.readUInt16BE(at + 4)
  }

  /** Where the column begins; behind it afterwards. */
  #next(): number | null {
    const length = this.#bytes.readInt32BE(this.#at)
    const at = (this.#at += lengthBytes)
    if (length === -1) return null
    this.#at += length
    return at
  }
}
