import { describe, expect, it } from 'vitest'
import { committed, type CommittedBatch } from './committed.ts'

function batch(firstOffset: number, producer: number, attributes = 0b10000, count = 1): CommittedBatch {
  const records = Array.from({ length: count }, () => ({ key: null }))
  const producerId = BigInt(producer)
  return { firstOffset: BigInt(firstOffset), lastOffsetDelta: count - 1, attributes, producerId, records }
}

function marker(offset: number, producer: number, type: 'abort' | 'commit'): CommittedBatch {
  const key = Buffer.from([0, 0, 0, type === 'abort' ? 0 : 1])
  return { ...batch(offset, producer, 0b110000), records: [{ key }] }
}

function aborts(...pairs: readonly (readonly [producer: number, firstOffset: number])[]) {
  return pairs.map(([producer, first]) => ({ producerId: BigInt(producer), firstOffset: BigInt(first) }))
}

function delivered(batches: readonly CommittedBatch[], aborted: ReturnType<typeof aborts>): bigint[] {
  return [...committed(batches, aborted)].flatMap((next) =>
    next.isDelivered ? [next.batch.firstOffset] : [],
  )
}

describe('what is delivered of a fetch', () => {
  it('leaves out every aborted transaction of a producer, not only its last', () => {
    const log = [
      batch(0, 1),
      marker(1, 1, 'abort'),
      batch(2, 1),
      marker(3, 1, 'commit'),
      batch(4, 1),
      marker(5, 1, 'abort'),
    ]
    expect(delivered(log, aborts([1, 4], [1, 0]))).toEqual([2n])
  })

  it('leaves out what was aborted where the marker comes in a later fetch', () => {
    expect(delivered([batch(0, 2), batch(1, 1), batch(2, 1)], aborts([1, 1]))).toEqual([0n])
  })

  it('takes a marker without data for the end of nothing', () => {
    const log = [
      batch(0, 1),
      marker(1, 1, 'commit'),
      marker(2, 1, 'abort'),
      batch(3, 1),
      marker(4, 1, 'commit'),
    ]
    expect(delivered(log, [])).toEqual([0n, 3n])
  })

  it('delivers what an aborting producer wrote outside of transactions', () => {
    expect(delivered([batch(0, 1), batch(1, 1, 0), marker(2, 1, 'abort')], aborts([1, 0]))).toEqual([1n])
  })

  it('tells of every batch, so that the position moves past all of them', () => {
    const log = [batch(0, 1, 0b10000, 3), marker(3, 1, 'abort')]
    expect([...committed(log, aborts([1, 0]))].map((next) => next.batch)).toEqual(log)
  })
})
