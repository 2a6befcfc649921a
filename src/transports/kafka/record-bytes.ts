/** Lengths are Kafka's variable ones (zigzag: the lowest bit is the sign). Of a number from 0 to 2^30. Answers where the next byte goes. */
export function writeCount(to: Uint8Array, value: number, at: number): number {
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

/** Up to here letter by letter is faster than a call. */
const shortText = 64

/** Of a text as UTF-8. */
export function bytesOf(text: string): number {
  const { length } = text
  if (length > shortText) return Buffer.byteLength(text)
  for (let i = 0; i < length; i++) if (text.charCodeAt(i) > 0x7f) return Buffer.byteLength(text)
  return length
}

/** The text as UTF-8, of which it takes so many bytes. Answers where the next byte goes. */
export function writeText(to: Buffer, text: string, bytes: number, at: number): number {
  if (bytes > shortText || bytes !== text.length) return at + to.write(text, at)
  for (let i = 0; i < bytes; i++) to[at + i] = text.charCodeAt(i)
  return at + bytes
}

/** With what says how many bytes it has. */
export function sizeOfFramed(bytes: number): number {
  return sizeOfCount(bytes) + bytes
}

/** As {@link writeText}, behind its length. */
export function writeFramed(to: Buffer, text: string, bytes: number, at: number): number {
  return writeText(to, text, bytes, writeCount(to, bytes, at))
}

export function framed(text: string): Buffer {
  const bytes = bytesOf(text)
  const buffer = Buffer.alloc(sizeOfFramed(bytes))
  writeFramed(buffer, text, bytes, 0)
  return buffer
}

/** A few bytes, for which a call costs more than they do. */
export function writeFew(to: Uint8Array, bytes: Uint8Array, at: number): number {
  for (let i = 0; i < bytes.length; i++) to[at + i] = bytes[i]!
  return at + bytes.length
}
