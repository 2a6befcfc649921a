import { WaybillError } from '../../kernel/errors.ts'
import type { PgConnection } from './driver.ts'
import { RowBytes } from './row-bytes.ts'

/** The messages that are looked at (PostgreSQL's documentation, "Message Formats"). */
const codes = { rowDescription: 0x54, dataRow: 0x44, commandComplete: 0x43, error: 0x45 } as const

/** A byte that names the message, and its length, which counts itself and what follows. */
const headBytes = 5

/** A row of one column without a byte in it. */
const standIn = Buffer.of(codes.dataRow, 0, 0, 0, 10, 0, 1, 0, 0, 0, 0)

/** What there is between the driver and the server. */
interface Wire {
  readonly ssl?: unknown
  /** Another one once TLS stands. */
  readonly stream: NodeJS.EventEmitter
  once(event: 'connect' | 'sslconnect', listener: () => void): unknown
}

type Feed = (bytes: Buffer) => void

/** What stands behind the stand-in that is being handed on. The driver asks for the value of a column while it is fed its row. */
let standing: readonly RowBytes[] = []

/** For queries in the binary format, over clients of {@link tapRows}: the one column of their one row is all rows of the answer. */
export const tappedRows = { getTypeParser: () => (): readonly RowBytes[] => standing }

/**
 * The driver makes a text of each column of each row, whatever its format, which takes longer than all else that a read costs the
 * process. So the rows of binary answers never get there: one row stands in for them. All else goes on as it came.
 */
export class RowTap {
  readonly #feed: Feed
  /** Of a message that has not ended yet. */
  #begun: Buffer[] = []
  #begunBytes = 0
  /** Of the answer under way, where that is binary. */
  #rows: RowBytes[] | null = null

  constructor(feed: Feed) {
    this.#feed = feed
  }

  /** What has arrived. The bytes are not copied, and belong to whoever gets the rows in them. */
  arrive(bytes: Buffer): void {
    let from = 0
    while (this.#begunBytes > 0 && from < bytes.length) from = this.#complete(bytes, from)
    if (from < bytes.length) this.#pass(from === 0 ? bytes : bytes.subarray(from))
  }

  /** Adds to the message that has begun what belongs to it, and answers where that ends: a large one comes in many parts. */
  #complete(bytes: Buffer, from: number): number {
    const wanted = this.#begunBytes < headBytes ? headBytes : lengthAt(this.#begun[0]!, 0)
    const to = Math.min(bytes.length, from + wanted - this.#begunBytes)
    this.#begun.push(bytes.subarray(from, to))
    this.#begunBytes += to - from
    if (this.#begunBytes < wanted) return to
    const whole = Buffer.concat(this.#begun)
    this.#begun = []
    this.#begunBytes = 0
    // A head alone has begun anew after this, now that its length is known.
    this.#pass(whole)
    return to
  }

  #pass(bytes: Buffer): void {
    /** Up to there all has gone on. */
    let from = 0
    let at = 0
    const goOn = (): void => {
      if (from < at) this.#feed(bytes.subarray(from, at))
      from = at
    }
    while (at + headBytes <= bytes.length) {
      const length = lengthAt(bytes, at)
      if (at + length > bytes.length) break
      const code = bytes[at]
      if (this.#rows === null) {
        if (code === codes.rowDescription && isBinary(bytes, at + headBytes)) this.#rows = []
      } else if (code === codes.dataRow) {
        goOn()
        this.#rows.push(new RowBytes(bytes, at + headBytes + 2))
        from = at + length
      } else if (code === codes.commandComplete) {
        goOn()
        standing = this.#rows
        this.#rows = null
        this.#feed(standIn)
        standing = []
      } else if (code === codes.error) {
        this.#rows = null
      }
      at += length
    }
    goOn()
    if (at < bytes.length) {
      this.#begun = [bytes.subarray(at)]
      this.#begunBytes = bytes.length - at
    }
  }
}

/** Puts a tap before everybody who listens to the client's socket. To be called before it connects. */
export function tapRows(client: PgConnection): void {
  const { connection: wire } = client as { readonly connection?: Wire }
  if (wire === undefined)
    throw new WaybillError(
      'WB_PEER_MISSING',
      'postgresStore needs the driver pg in JavaScript, not pg-native.',
    )
  // Before this nothing has been asked, so no answer is under way.
  wire.once(wire.ssl === undefined || wire.ssl === false ? 'connect' : 'sslconnect', () => {
    const { stream } = wire
    const listeners = stream.listeners('data') as Feed[]
    const tap = new RowTap((bytes) => {
      for (const listener of listeners) listener.call(stream, bytes)
    })
    stream.on('data', (bytes: Buffer) => {
      tap.arrive(bytes)
    })
    for (const listener of listeners) stream.off('data', listener)
  })
}

/** Of the message there, all in all. */
function lengthAt(bytes: Buffer, at: number): number {
  return bytes.readUInt32BE(at + 1) + 1
}

/** Whether the columns described there come in the binary format: as the first does, for they are asked for together. */
function isBinary(bytes: Buffer, at: number): boolean {
  if (bytes.readInt16BE(at) === 0) return false
  const name = bytes.indexOf(0, at + 2)
  /** Behind the name: table, column, type, its size and modifier. */
  return bytes.readInt16BE(name + 1 + 4 + 2 + 4 + 2 + 4) === 1
}
