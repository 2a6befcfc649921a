import { crc32c, createRecordsBatch, NumericMap } from '@platformatic/kafka'
import fc from 'fast-check'
import { expect, it } from 'vitest'
import { countOf, encodeBatch, stamp } from './record-batch.ts'
import { recordOf } from './record.ts'

const text = fc.oneof(
  fc.string({ unit: 'grapheme' }),
  fc.string({ unit: 'binary' }),
  // Lengths of one byte and of two, and on both sides of where a text is longer than its characters.
  fc.integer({ min: 50, max: 70 }).map((length) => 'ä'.repeat(length)),
  fc.integer({ min: 0, max: 20_000 }).map((length) => 'x'.repeat(length)),
)
const record = fc.record({
  key: fc.option(text, { nil: null }),
  value: fc.uint8Array({ maxLength: 300 }),
  headers: fc.array(fc.tuple(fc.oneof(text, fc.constantFrom('waybill-envelope', 'ce_source')), text), {
    maxLength: 5,
  }),
})
const sender = fc.record({
  producerId: fc.bigInt({ min: 0n, max: 2n ** 63n - 1n }),
  producerEpoch: fc.nat(32_767),
  sequence: fc.nat(0x7fffffff),
  isTransactional: fc.boolean(),
})
const now = 1_700_000_000_123

it('writes the bytes that the library would write, whatever keys, values and headers hold', () => {
  fc.assert(
    fc.property(fc.array(record, { minLength: 1, maxLength: 150 }), sender, (records, of) => {
      const batch = encodeBatch(
        records.map(({ key, value, headers }) => recordOf('t', key, value, headers)),
        now,
      )
      // As for a sender whom the broker does not know any more.
      stamp(batch, { ...of, producerId: 7n, isTransactional: !of.isTransactional }, crc32c)
      stamp(batch, of, crc32c)
      expect(countOf(batch)).toBe(records.length)
      const theirs = createRecordsBatch(
        records.map(({ key, value, headers }) => ({
          topic: 't',
          partition: 3,
          ...(key === null ? {} : { key: Buffer.from(key) }),
          value: Buffer.from(value),
          headers: new Map(headers.map(([name, text]) => [Buffer.from(name), Buffer.from(text)])),
          timestamp: BigInt(now),
        })),
        {
          producerId: of.producerId,
          producerEpoch: of.producerEpoch,
          sequences: new NumericMap([['t:3', of.sequence]]),
          ...(of.isTransactional ? { transactionalId: 'id' } : {}),
        },
      )
      expect(batch.equals(theirs.buffer)).toBe(true)
    }),
  )
})
