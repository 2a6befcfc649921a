import { describe, expect, it } from 'vitest'
import { jsonLines } from './json-lines.ts'
import { payloadText } from './payload-text.ts'

const shown = (text: string, type = 'application/json'): string =>
  payloadText(Buffer.from(text), type, 100_000).lines.join('\n')

describe('a payload', () => {
  it('that is JSON stands on lines of its own, each value as it was written', () => {
    expect(shown('{"a":[1,2.50,{"b":null}],"big":12345678901234567890,"e":{},"l":[],"s":"x\\n{,}"}')).toBe(
      [
        '{',
        '  "a": [',
        '    1,',
        '    2.50,',
        '    {',
        '      "b": null',
        '    }',
        '  ],',
        '  "big": 12345678901234567890,',
        '  "e": {},',
        '  "l": [],',
        '  "s": "x\\n{,}"',
        '}',
      ].join('\n'),
    )
    expect(shown(' "alone" ')).toBe('"alone"')
  })

  it('keeps a name that stands twice, and one that is no name', () => {
    expect(shown('{"a":1,"a":2,"__proto__":{"x":1}}')).toContain('"a": 1,\n  "a": 2,\n  "__proto__": {')
  })

  it('that only says it is JSON is shown as text', () => {
    expect(shown('{"a":')).toBe('{"a":')
    expect(jsonLines('{"a":')).toBeUndefined()
  })

  it('nested 10,000 deep costs no stack', () => {
    const deep = `${'['.repeat(10_000)}${']'.repeat(10_000)}`
    expect(jsonLines(deep)?.join('').replaceAll(' ', '')).toBe(deep)
  })

  it('that is no text is shown in hexadecimal', () => {
    const { lines } = payloadText(Uint8Array.of(0xff, 0x41, 0x1b, 0x00), 'application/octet-stream', 100)
    expect(lines).toEqual([`000000  ${'ff 41 1b 00'.padEnd(47)}  .A..`])
  })

  it('that is long is cut, between two characters, and says by how much', () => {
    expect(payloadText(Buffer.from('aaaä'), 'text/plain', 4)).toEqual({ lines: ['aaa'], hiddenBytes: 1 })
    const { lines, hiddenBytes } = payloadText(
      Buffer.from(`{"a":"${'x'.repeat(50)}"}`),
      'application/json',
      10,
    )
    expect(lines).toEqual(['{"a":"xxxx'])
    expect(hiddenBytes).toBe(48)
  })
})
