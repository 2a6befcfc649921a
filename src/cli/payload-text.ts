import { isJson } from '../outbox/payload.ts'
import { jsonLines } from './json-lines.ts'
import { visible, visibleLines } from './visible.ts'

export interface PayloadText {
  readonly lines: readonly string[]
  /** Of the payload, not shown. */
  readonly hiddenBytes: number
}

const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/**
 * A payload for a terminal: JSON on lines of its own, other text as it is, bytes that are no text in hexadecimal; nothing that a
 * terminal would obey (S18). At most `most` bytes of it.
 */
export function payloadText(payload: Uint8Array, contentType: string, most: number): PayloadText {
  const hiddenBytes = Math.max(0, payload.byteLength - most)
  const text = textOf(payload.subarray(0, most), hiddenBytes > 0)
  if (text === undefined) return { lines: hexLines(payload.subarray(0, most)), hiddenBytes }
  // Cut off it is not JSON any more.
  const json = isJson(contentType) && hiddenBytes === 0 ? jsonLines(text) : undefined
  return { lines: json === undefined ? visibleLines(text) : json.map(visible), hiddenBytes }
}

/** `undefined` where it is not text. The end of what was cut may be half a character. */
function textOf(bytes: Uint8Array, isCut: boolean): string | undefined {
  for (let dropped = 0; dropped <= (isCut ? 3 : 0); dropped++) {
    try {
      return decoder.decode(bytes.subarray(0, bytes.byteLength - dropped))
    } catch {
      // One byte less, perhaps.
    }
  }
  return undefined
}

function hexLines(bytes: Uint8Array): string[] {
  const lines: string[] = []
  for (let from = 0; from < bytes.byteLength; from += 16) {
    const row = bytes.subarray(from, from + 16)
    const hex = Array.from(row, (byte) => byte.toString(16).padStart(2, '0')).join(' ')
    const text = Array.from(row, (byte) => (byte >= 0x20 && byte < 0x7f ? String.fromCharCode(byte) : '.'))
    lines.push(`${from.toString(16).padStart(6, '0')}  ${hex.padEnd(47)}  ${text.join('')}`)
  }
  return lines
}
