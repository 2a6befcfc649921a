import { describe, expect, it } from 'vitest'
import { headerBytes, messageHeaders } from './message-headers.ts'

const refuse = (code: string): unknown => expect.objectContaining({ code })

describe('headers', () => {
  it('keep what is given, over what trace propagation adds under the same name', () => {
    const headers = messageHeaders({ b3: 'mine', 'x-Tenant': 'acme\r\n' }, [['b3', 'theirs']], 'a message')
    expect({ ...headers }).toEqual({ b3: 'mine', 'x-Tenant': 'acme\r\n' })
    expect(Object.getPrototypeOf(headers)).toBeNull()
  })

  it('are none where none are given', () => {
    expect({ ...messageHeaders(undefined, [], 'a message') }).toEqual({})
  })

  it.each([
    '',
    'a b',
    'a:b',
    'ä',
    'x'.repeat(201),
    'ce_id',
    'CE-type',
    'waybill-epoch',
    'traceparent',
    'TraceState',
  ])('refuse the name %j', (name) => {
    expect(() => messageHeaders({ [name]: 'x' }, [], 'a message')).toThrow(refuse('WB_INVALID_HEADER'))
  })

  it('refuse a name that would reach a prototype elsewhere, instead of dropping it (S11)', () => {
    for (const name of ['__proto__', 'constructor', 'prototype']) {
      const given = JSON.parse(`{"${name}":"x"}`) as Record<string, string>
      expect(() => messageHeaders(given, [], 'a message')).toThrow(refuse('WB_INVALID_HEADER'))
    }
  })

  it.each([[7], [null], [undefined], [['x']]])('refuse the value %j', (value) => {
    expect(() => messageHeaders({ a: value }, [], 'a message')).toThrow(refuse('WB_INVALID_HEADER'))
    expect(() => messageHeaders({ a: value }, [], 'a message')).toThrow(
      'A header of a message named "a" is a',
    )
  })

  it('refuse NUL and halves of surrogate pairs', () => {
    expect(() => messageHeaders({ a: 'x\0' }, [], 'a message')).toThrow(refuse('WB_NUL_CHARACTER'))
    expect(() => messageHeaders({ 'a\0': 'x' }, [], 'a message')).toThrow(refuse('WB_NUL_CHARACTER'))
    expect(() => messageHeaders({ a: '\uDC00' }, [], 'a message')).toThrow(refuse('WB_INVALID_HEADER'))
  })

  it.each([[null], ['a=b'], [['a', 'b']], [new Map([['a', 'b']])]])(
    'refuse %j for an object of texts',
    (given) => {
      expect(() => messageHeaders(given, [], 'a message')).toThrow(refuse('WB_INVALID_HEADER'))
    },
  )

  it('are counted in UTF-8 bytes', () => {
    expect(headerBytes(messageHeaders({ ab: 'é' }, [], 'a message'))).toBe(4)
  })
})
