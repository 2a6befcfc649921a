import { describe, expect, it } from 'vitest'
import { payloadText } from './payload-text.ts'
import { tableText } from './table.ts'
import { visible, visibleLines } from './visible.ts'
import pc from 'picocolors'

/** What a payload, a key or an error may hold to play tricks on whoever reads it. */
const corpus: readonly (readonly [string, string])[] = [
  ['\u001B[2J\u001B[H', '\\x1b[2J\\x1b[H'],
  [
    '\u001B]8;;https://evil.example\u0007click\u001B]8;;\u0007',
    '\\x1b]8;;https://evil.example\\x07click\\x1b]8;;\\x07',
  ],
  ['\u001B]0;title\u0007', '\\x1b]0;title\\x07'],
  ['\u009B31m', '\\x9b31m'],
  ['one\r\ntwo', 'one\\r\\ntwo'],
  ['ok\rPAID', 'ok\\rPAID'],
  ['a\bb\u007F', 'a\\x08b\\x7f'],
  ['\0', '\\x00'],
  ['\t', '\\t'],
  ['user\u202Egnp.exe', 'user\\u{202e}gnp.exe'],
  ['\u2066x\u2069', '\\u{2066}x\\u{2069}'],
  ['zero\u200Bwidth\uFEFF', 'zero\\u{200b}width\\u{feff}'],
  ['lone \uD800 half', 'lone \\u{d800} half'],
  ['tag\u{E0041}', 'tag\\u{e0041}'],
  ['line\u2028end', 'line\\u{2028}end'],
  ['<img src=x onerror=alert(1)>', '<img src=x onerror=alert(1)>'],
  ["'; drop table orders", "'; drop table orders"],
  ['Grüße, 日本 🚀', 'Grüße, 日本 🚀'],
]

/** Nothing that a terminal obeys is left, but for the ends of lines. */
function isSafe(text: string): boolean {
  return !/[\p{Cc}\u202A-\u202E\u2066-\u2069]/u.test(text.replaceAll('\n', ''))
}

describe('what comes from outside (S18)', () => {
  it.each(corpus)('%j is written out for one line', (text, shown) => {
    expect(visible(text)).toBe(shown)
    expect(isSafe(visible(text))).toBe(true)
  })

  it('keeps its own ends of lines where it has lines', () => {
    expect(visibleLines('one\r\ntwo\nthree\u001B[0m')).toEqual(['one', 'two', 'three\\x1b[0m'])
  })

  it.each(corpus)('%j reaches no terminal in a payload, as text or in JSON', (text) => {
    const bytes = Buffer.from(text.toWellFormed())
    expect(payloadText(bytes, 'text/plain', 1000).lines.every(isSafe)).toBe(true)
    const json = Buffer.from(JSON.stringify({ [text.toWellFormed()]: [text.toWellFormed()] }))
    expect(payloadText(json, 'application/json', 1000).lines.every(isSafe)).toBe(true)
  })

  it.each(corpus)('%j reaches no terminal in a table, and breaks no row of it', (text) => {
    const page = { colors: pc.createColors(false), width: 40 }
    const table = tableText(
      [{ title: 'key' }, { title: 'error' }],
      [[text, `${text}${'x'.repeat(100)}`]],
      page,
    )
    expect(table.split('\n')).toHaveLength(2)
    expect(isSafe(table)).toBe(true)
  })
})
