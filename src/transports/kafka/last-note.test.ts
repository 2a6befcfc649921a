import type { RecordsBatch } from '@platformatic/kafka'
import { describe, expect, it } from 'vitest'
import { NoteScan } from './last-note.ts'

type Batch = Pick<RecordsBatch, 'attributes' | 'producerId' | 'records'>

function record(key: Buffer | null, value: string | null): RecordsBatch['records'][number] {
  const bytes = value === null ? null : Buffer.from(value)
  return { length: 0, attributes: 0, timestampDelta: 0n, offsetDelta: 0, key, value: bytes, headers: [] }
}

function data(producer: bigint, value: string | null, key = 'own', attributes = 16): Batch {
  return { attributes, producerId: producer, records: [record(Buffer.from(key), value)] }
}

/** Version 0, and the type: 0 abort, 1 commit. */
function marker(producer: bigint, type: 0 | 1): Batch {
  return { attributes: 48, producerId: producer, records: [record(Buffer.from([0, 0, 0, type]), '')] }
}

function scan(...batches: readonly Batch[]): string | undefined {
  const found = new NoteScan('own')
  for (const batch of batches) found.accept(batch as RecordsBatch)
  return found.last?.toString()
}

describe('the last committed note', () => {
  it('is of the last transaction with a commit marker', () => {
    expect(scan(data(1n, 'a'), marker(1n, 1), data(1n, 'b'), marker(1n, 1))).toBe('b')
    expect(scan(data(1n, 'a'), marker(1n, 1), data(1n, 'b'), marker(1n, 0))).toBe('a')
    expect(scan(data(1n, 'a'), marker(1n, 1), data(1n, 'b'))).toBe('a')
    expect(scan(data(1n, 'a'), marker(1n, 0))).toBeUndefined()
    expect(scan()).toBeUndefined()
  })

  it('is not that of an aborted transaction before a marker without data', () => {
    expect(scan(data(1n, 'a'), marker(1n, 0), marker(1n, 1))).toBeUndefined()
    expect(
      scan(data(1n, 'a'), marker(1n, 0), data(1n, 'b'), marker(1n, 0), data(1n, 'c'), marker(1n, 1)),
    ).toBe('c')
  })

  it('tells producers apart whose transactions overlap', () => {
    const mixed = [
      data(1n, 'a'),
      data(2n, 'x', 'other'),
      marker(2n, 1),
      data(2n, 'y', 'other'),
      marker(1n, 1),
    ]
    expect(scan(...mixed)).toBe('a')
    expect(scan(data(1n, 'a'), marker(2n, 1))).toBeUndefined()
    expect(scan(data(1n, 'a'), marker(1n, 1), data(3n, 'b'), data(3n, 'z', 'other'), marker(3n, 1))).toBe('b')
  })

  it('is not what was written under its key without a transaction, or as a tombstone', () => {
    expect(scan(data(1n, 'a'), marker(1n, 1), data(-1n, 'forged', 'own', 0))).toBe('a')
    expect(scan(data(1n, 'a'), marker(1n, 1), data(1n, null), marker(1n, 1))).toBe('a')
  })

  it('is found among the batches that the cleaner has emptied', () => {
    const emptied = (attributes: number): Batch => ({ attributes, producerId: 1n, records: [] })
    expect(scan(emptied(16), emptied(48), data(1n, 'a'), emptied(16), marker(1n, 1), emptied(48))).toBe('a')
  })
})
