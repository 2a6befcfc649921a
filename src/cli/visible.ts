/** What a terminal would obey or hide: control and format characters, separators of lines, surrogates without their half. */
const dangerous = /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu

/** `text` for one line of a terminal: what it would obey or hide is written out as an escape (S18). */
export function visible(text: string): string {
  return text.replaceAll(dangerous, (char) => `\\u{${char.codePointAt(0)!.toString(16).padStart(4, '0')}}`)
}
