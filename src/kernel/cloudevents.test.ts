import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { attributeNames, decodeEnvelope, encodeHeaders, type Arrival } from './cloudevents.ts'
import { foreignMessageId, newMessageId } from './ids.ts'
import { headersFrom, type Envelope } from './message.ts'

const prefix = 'ce_'
const names = attributeNames(prefix)
const source = 'https://shop.example/orders'

function arrivalOf(headers: readonly (readonly [string, string])[], more: Partial<Arrival> = {}): Arrival {
  return {
    headers,
    payload: new Uint8Array(),
    key: null,
    channels: ['orders.placed'],
    time: new Date('2026-01-02T03:04:05.678Z'),
    place: { source: 'kafka:orders', id: '3/17' },
    ...more,
  }
}

const text = fc.string({ unit: 'grapheme' }).map((value) => value.replaceAll('\0', ''))
const headerName = fc.oneof(
  text,
  fc.constantFrom(
    '__proto__',
    'constructor',
    'prototype',
    'traceparent',
    'tracestate',
    'baggage',
    'hasOwnProperty',
  ),
)
const envelopes = fc.record({
  id: fc.constant(null).map(newMessageId),
  channel: text.filter((value) => value !== ''),
  key: fc.option(text, { nil: null }),
  payload: fc.uint8Array({ maxLength: 200 }),
  contentType: fc.constantFrom('application/json', 'image/png', 'text/plain; charset=utf-8'),
  headers: fc.array(fc.tuple(headerName, text)).map((entries) => headersFrom(entries)),
  createdAt: fc.date({ noInvalidDate: true, min: new Date(0), max: new Date('9999-12-31T23:59:59Z') }),
})

describe('the envelope on a wire', () => {
  it('comes back as it was, whatever keys, headers and payloads hold', () => {
    fc.assert(
      fc.property(envelopes, fc.boolean(), (envelope: Envelope, hasKey) => {
        fc.pre(
          !Object.keys(envelope.headers).some((name) =>
            /^(?:ce_|content-type$|waybill-envelope$)/iu.test(name),
          ),
        )
        const { payload } = envelope
        const arrival = arrivalOf(encodeHeaders(envelope, source, names), {
          payload,
          // On a wire that has no keys of its own, the attribute carries it.
          key: hasKey ? envelope.key : null,
        })
        expect(decodeEnvelope(arrival, prefix)).toEqual(envelope)
      }),
    )
  })

  it('has an id in the letters of the store, in which an inbox finds it again', () => {
    const id = newMessageId()
    const envelope: Envelope = {
      id: id.toUpperCase(),
      channel: 'orders.placed',
      key: null,
      payload: new Uint8Array(),
      contentType: 'application/json',
      headers: headersFrom([]),
      createdAt: new Date(0),
    }
    expect(decodeEnvelope(arrivalOf(encodeHeaders(envelope, source, names)), prefix).id).toBe(id)
  })

  it('drops a header named __proto__ and reaches no prototype', () => {
    const ours = encodeHeaders(envelopeOf({}), source, names)
    const { headers } = decodeEnvelope(arrivalOf([...ours, ['__proto__', 'polluted'], ['a', '1']]), prefix)
    expect(Object.keys(headers)).toEqual(['a'])
    expect(Object.getPrototypeOf(headers)).toBeNull()
    expect(({} as { polluted?: unknown }).polluted).toBeUndefined()
  })

  it('is a CloudEvent 1.0 in binary mode, with the trace headers plain', () => {
    const envelope = envelopeOf({ key: 'k', headers: headersFrom([['traceparent', '00-a-b-01']]) })
    expect(Object.fromEntries(encodeHeaders(envelope, source, names))).toEqual({
      traceparent: '00-a-b-01',
      'waybill-envelope': '1',
      ce_specversion: '1.0',
      ce_id: envelope.id,
      ce_source: source,
      ce_type: 'orders.placed',
      ce_time: '2026-03-04T05:06:07.008Z',
      ce_partitionkey: 'k',
      'content-type': 'application/json',
    })
  })

  it.each([0, 999, 1000, 1_700_000_000_007, 1_700_000_000_070, -1, 8.64e15])(
    'writes the time %i as a date does, whatever time came before',
    (time) => {
      const createdAt = new Date(time)
      for (const at of [new Date(5_000_000), createdAt, createdAt]) {
        const headers = Object.fromEntries(encodeHeaders(envelopeOf({ createdAt: at }), source, names))
        expect(headers['ce_time']).toBe(at.toISOString())
      }
    },
  )

  it('carries no partition key where there is no key', () => {
    const headers = encodeHeaders(envelopeOf({ key: null }), source, names)
    expect(headers.map(([name]) => name)).not.toContain('ce_partitionkey')
  })

  it('does not let a row of another language overwrite what Waybill says of it', () => {
    const headers = headersFrom([
      ['ce_id', 'forged'],
      ['Content-Type', 'text/html'],
      ['WAYBILL-ENVELOPE', '9'],
      ['kept', 'yes'],
    ])
    const envelope = envelopeOf({ headers })
    const decoded = decodeEnvelope(arrivalOf(encodeHeaders(envelope, source, names)), prefix)
    expect(decoded.id).toBe(envelope.id)
    expect(decoded.contentType).toBe('application/json')
    expect(decoded.headers).toEqual(headersFrom([['kept', 'yes']]))
  })

  it('refuses a version it does not know, and says what to do', () => {
    const headers = encodeHeaders(envelopeOf({}), source, names)
    const newer = headers.map(([name, value]): [string, string] => [
      name,
      name === 'waybill-envelope' ? '2' : value,
    ])
    expect(() => decodeEnvelope(arrivalOf(newer), prefix)).toThrow(
      expect.objectContaining({
        code: 'WB_ENVELOPE_INVALID',
        message: expect.stringContaining('version "2"'),
      }),
    )
  })

  it.each([
    ['no id', [['ce_type', 't']]],
    [
      'an id that is no UUID',
      [
        ['ce_id', '17'],
        ['ce_type', 't'],
      ],
    ],
    ['no channel', [['ce_id', newMessageId()]]],
  ] as [string, [string, string][]][])('refuses an envelope of its own with %s', (_, headers) => {
    expect(() => decodeEnvelope(arrivalOf([['waybill-envelope', '1'], ...headers]), prefix)).toThrow(
      expect.objectContaining({ code: 'WB_ENVELOPE_INVALID' }),
    )
  })
})

describe('what others wrote', () => {
  it('gets an id from the source and id of its CloudEvent, the same at every place', () => {
    const headers: [string, string][] = [
      ['ce_specversion', '1.0'],
      ['ce_id', newMessageId()],
      ['ce_source', '/billing'],
      ['ce_type', 'com.example.paid'],
    ]
    const id = foreignMessageId('/billing', headers[1]![1])
    const here = decodeEnvelope(arrivalOf(headers), prefix)
    const there = decodeEnvelope(arrivalOf(headers, { place: { source: 'kafka:orders', id: '0/1' } }), prefix)
    expect([here.id, there.id]).toEqual([id, id])
    expect(here.channel).toBe('orders.placed')
  })

  it('gets an id from its place where it brings none, and the time the broker got it', () => {
    const decoded = decodeEnvelope(arrivalOf([['trace', '1']], { key: 'k' }), prefix)
    expect(decoded).toMatchObject({
      id: foreignMessageId('kafka:orders', '3/17'),
      channel: 'orders.placed',
      key: 'k',
      contentType: 'application/json',
      createdAt: new Date('2026-01-02T03:04:05.678Z'),
    })
  })

  it('is told apart by its type where an address carries several channels, and refused where that names none', () => {
    const channels = ['orders.placed', 'orders.paid']
    expect(decodeEnvelope(arrivalOf([['ce_type', 'orders.paid']], { channels }), prefix).channel).toBe(
      'orders.paid',
    )
    expect(() => decodeEnvelope(arrivalOf([['ce_type', 'else']], { channels }), prefix)).toThrow(
      expect.objectContaining({ code: 'WB_ENVELOPE_INVALID' }),
    )
  })

  it('never brings a NUL into the database', () => {
    const decoded = decodeEnvelope(arrivalOf([['a\0b', 'c\0d']], { key: 'e\0f' }), prefix)
    expect(decoded.headers).toEqual(headersFrom([['a\uFFFDb', 'c\uFFFDd']]))
    expect(decoded.key).toBe('e\uFFFDf')
  })

  it.each(['yesterday', '2026', '', '2026-99-99T00:00:00Z'])(
    'takes the broker’s time where its own is %o',
    (time) => {
      expect(decodeEnvelope(arrivalOf([['ce_time', time]]), prefix).createdAt).toEqual(
        new Date('2026-01-02T03:04:05.678Z'),
      )
    },
  )
})

function envelopeOf(more: Partial<Envelope>): Envelope {
  return {
    id: newMessageId(),
    channel: 'orders.placed',
    key: 'k',
    payload: new Uint8Array(),
    contentType: 'application/json',
    headers: headersFrom([]),
    createdAt: new Date('2026-03-04T05:06:07.008Z'),
    ...more,
  }
}
