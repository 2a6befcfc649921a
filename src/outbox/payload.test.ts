import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { encodePayload, isJson } from './payload.ts'

function roundTrip(value: unknown): unknown {
  return JSON.parse(new TextDecoder().decode(encodePayload(value, undefined, 'a message').payload))
}

function refusalOf(value: unknown): unknown {
  try {
    encodePayload(value, undefined, 'a message')
    return undefined
  } catch (error) {
    return error
  }
}

const cycle: Record<string, unknown> = {}
cycle['self'] = { again: cycle }

describe('a payload as JSON', () => {
  it('comes back as JSON says, or is refused', () => {
    const anything = fc.anything({ withBigInt: true, withMap: true, withDate: true, withTypedArray: true })
    let kept = 0
    fc.assert(
      fc.property(
        anything.filter((value) => !(value instanceof Uint8Array)),
        (value) => {
          const refusal = refusalOf(value)
          if (refusal === undefined) kept += 1
          const same = refusal === undefined && JSON.stringify(roundTrip(value)) === JSON.stringify(value)
          return same || (refusal as { code?: unknown } | undefined)?.code === 'WB_UNSERIALISABLE'
        },
      ),
      { numRuns: 2000 },
    )
    expect(kept).toBeGreaterThan(200)
  })

  it.each<[string, unknown, string]>([
    ['undefined', undefined, '$ is undefined'],
    ['undefined in an array', { list: [1, undefined] }, '$.list[1] is undefined'],
    // oxlint-disable-next-line no-sparse-arrays
    ['a hole', [1, , 2], '$[1] is undefined'],
    ['a function', { run: () => 1 }, '$.run is a function'],
    ['a symbol', { s: Symbol('s') }, '$.s is a symbol'],
    ['a bigint', { deep: [{ n: 10n }] }, '$.deep[0].n is a bigint'],
    ['NaN', { n: Number.NaN }, '$.n is a number that JSON has no form for'],
    ['infinity', { n: -Infinity }, '$.n is a number that JSON has no form for'],
    ['an invalid date', { at: new Date(Number.NaN) }, '$.at is an invalid date'],
    ['a map', { m: new Map([[1, 2]]) }, '$.m is a Map'],
    ['a set', new Set([1]), '$ is a Set'],
    ['an error', { e: new TypeError('no') }, '$.e is a Error'],
    ['bytes inside', { b: Buffer.from('x') }, '$.b is bytes inside JSON'],
    ['a cycle', cycle, 'refers to itself'],
  ])('refuses %s and says where', (_what, value, text) => {
    expect(() => roundTrip(value)).toThrow(
      expect.objectContaining({ code: 'WB_UNSERIALISABLE', message: expect.stringContaining(text) }),
    )
  })

  it('leaves properties out that are undefined: they read as undefined again', () => {
    expect(roundTrip({ a: 1, note: undefined })).toEqual({ a: 1 })
  })

  it('writes dates and whatever else knows its JSON form', () => {
    expect(roundTrip({ at: new Date(0), price: { toJSON: () => '7.50' } })).toEqual({
      at: '1970-01-01T00:00:00.000Z',
      price: '7.50',
    })
    expect(() => roundTrip({ price: { toJSON: () => 1n } })).toThrow('$.price is a bigint')
  })

  it('keeps NUL, halves of surrogate pairs and a member named __proto__', () => {
    const value = JSON.parse('{"__proto__":{"a":1},"nul":"\\u0000","half":"\\ud800"}') as unknown
    expect(JSON.stringify(roundTrip(value))).toBe(JSON.stringify(value))
  })

  it('is refused without its value where the caller’s own code throws', () => {
    const thrown = {
      get card(): string {
        throw new Error('4111 1111')
      },
    }
    expect(() => roundTrip(thrown)).toThrow(
      expect.objectContaining({ code: 'WB_UNSERIALISABLE', message: expect.not.stringContaining('4111') }),
    )
  })

  it('says where in a path that is cut when it grows long', () => {
    const name = 'n'.repeat(300)
    expect(() => roundTrip({ [name]: 1n })).toThrow(/ is a bigint/u)
    expect(() => roundTrip({ [name]: 1n })).not.toThrow(new RegExp(name, 'u'))
  })
})

it('tells JSON by its media type', () => {
  const json = [
    'application/json',
    'Application/JSON; charset=utf-8',
    'application/cloudevents+json',
    'text/json',
  ]
  expect(json.map(isJson)).toEqual([true, true, true, true])
  expect(['application/jsonl', 'text/plain', 'image/png', 'json', ''].map(isJson)).not.toContain(true)
})
