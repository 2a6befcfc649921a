/**
 * What a terminal would obey or hide, and what lets text look like other text: control and format characters, separators of
 * lines, surrogates without their half, letters without a shape.
 */
const dangerous = /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}\u115F\u1160\u3164\uFFA0\u{E0000}-\u{E0FFF}]/gu

const short: Readonly<Record<string, string>> = { '\n': '\\n', '\r': '\\r', '\t': '\\t' }

/** `text` for one line of a terminal: what it would obey or hide is written out as an escape (S18). */
export function visible(text: string): string {
  return text.replaceAll(dangerous, (char) => {
    const known = short[char]
    if (known !== undefined) return known
    const code = char.codePointAt(0)!
    return code < 0x100
      ? `\\x${code.toString(16).padStart(2, '0')}`
      : `\\u{${code.toString(16).padStart(4, '0')}}`
  })
}

/** The same for text whose own lines are to be seen as lines. */
export function visibleLines(text: string): readonly string[] {
  return text.split(/\r?\n/u).map(visible)
}
