import { compatibilityPartitioner } from '@platformatic/kafka'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { bucketOf, murmur2 } from './partitioner.ts'

describe('the partition of a key', () => {
  // From the Java client's own tests (UtilsTest.testMurmur2).
  it.each([
    ['21', -973932308],
    ['foobar', -790332482],
    ['a-little-bit-long-string', -985981536],
    ['a-little-bit-longer-string', -1486304829],
    ['lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8', -58897971],
  ])('hashes %o as the Java client does', (key, hash) => {
    expect(murmur2(Buffer.from(key))).toBe(hash)
  })

  it('is the one the client library gives in its Java-compatible mode', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 100 }), fc.integer({ min: 1, max: 1000 }), (key, count) => {
        const expected = compatibilityPartitioner({} as never, Buffer.from(key)) % count
        expect(bucketOf(murmur2(key), count)).toBe(expected)
        // The same where it stands among other bytes.
        const among = Buffer.concat([Buffer.from('xyz'), key, Buffer.from('z')])
        expect(murmur2(among, 3, 3 + key.length)).toBe(murmur2(key))
      }),
      { numRuns: 1000 },
    )
  })
})
