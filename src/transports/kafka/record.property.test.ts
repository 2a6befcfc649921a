import { Reader, readRecordsBatch } from '@platformatic/kafka'
import fc from 'fast-check'
import { expect, it } from 'vitest'
import { attributeNames, encodeHeaders } from '../../kernel/cloudevents.ts'
import { type Envelope, headersFrom } from '../../kernel/message.ts'
import { murmur2 } from './partitioner.ts'
import { encodeBatch } from './record-batch.ts'
import { encodeWithin, type OutgoingRecord } from './record.ts'

const text = fc.oneof(
  fc.string({ unit: 'binary' }),
  // On both sides of where a text is written by a call, and of where a key is hashed in a buffer of its own.
  fc.integer({ min: 60, max: 70 }).map((length) => 'x'.repeat(length)),
  fc.integer({ min: 1020, max: 1030 }).map((length) => 'x'.repeat(length)),
)
const envelope: fc.Arbitrary<Envelope> = fc.record({
  id: fc.uuid(),
  channel: fc.constantFrom('orders.placed', 'größe', 'c'),
  key: fc.option(text, { nil: null }),
  payload: fc.uint8Array({ maxLength: 300 }),
  contentType: fc.oneof(fc.constantFrom('application/json', 'text/plain'), text),
  headers: fc.array(fc.tuple(text, text), { maxLength: 4 }).map((headers) => headersFrom(headers)),
  createdAt: fc.date({ noInvalidDate: true }),
})

it('writes key, payload and every header of a message, and measures it as it is', () => {
  const sources = fc.constantFrom('/waybill', '/größe')
  fc.assert(
    fc.property(fc.array(envelope, { minLength: 1, maxLength: 20 }), sources, (envelopes, source) => {
      const records = envelopes.map(
        (each) => encodeWithin({ envelope: each, address: 't' }, source, 1000) as OutgoingRecord,
      )
      const batch = encodeBatch(records, 1_700_000_000_123)
      const read = readRecordsBatch(Reader.from(batch)).records
      expect(read).toHaveLength(envelopes.length)
      for (const [i, { key, payload, ...rest }] of envelopes.entries()) {
        const bytes = key === null ? null : Buffer.from(key)
        expect(read[i]!.key).toEqual(bytes)
        expect(read[i]!.value).toEqual(Buffer.from(payload))
        const headers = encodeHeaders({ key, payload, ...rest }, source, attributeNames('ce_'))
        expect(sorted(read[i]!.headers)).toEqual(
          sorted(headers.map(([name, value]) => [Buffer.from(name), Buffer.from(value)])),
        )
        expect(records[i]!.hash).toBe(bytes === null ? null : murmur2(bytes))
      }
      const measured = records.reduce((sum, { bytes }) => sum + bytes, 0)
      // Within a few bytes a record; of the batch around them nothing is counted.
      expect(Math.abs(batch.length - measured)).toBeLessThan(61 + 8 * records.length)
    }),
  )
})

function sorted(headers: Iterable<readonly [Buffer | null, Buffer | null]>): string[] {
  return [...headers].map(([name, value]) => `${name?.toString('hex')}=${value?.toString('hex')}`).toSorted()
}
