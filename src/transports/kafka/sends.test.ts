import { expect, it } from 'vitest'
import { recordOf } from './record.ts'
import { cutIntoSends, type PlacedRecord } from './sends.ts'

function placed(topic: string, partition: number, bytes: number, index: number): PlacedRecord {
  const record = { ...recordOf(topic, null, Buffer.alloc(0), []), bytes }
  return { record, partition, index }
}

function cut(records: readonly PlacedRecord[], limit: number): (number | null)[][] {
  return cutIntoSends(records, () => limit).map((send) => send.map(({ index }) => index))
}

it('limits the batch of each partition, not the send, and keeps the order', () => {
  const records = [0, 1, 2, 3, 4, 5].map((i) => placed('t', i % 2, 40, i))
  expect(cut(records, 100)).toEqual([
    [0, 1, 2, 3],
    [4, 5],
  ])
  expect(cut([], 100)).toEqual([])
})

it('lets what is larger than the limit go alone in its batch', () => {
  const records = [
    placed('t', 0, 10, 0),
    placed('t', 0, 500, 1),
    placed('t', 0, 10, 2),
    placed('u', 0, 10, 3),
  ]
  expect(cut(records, 100)).toEqual([[0], [1], [2, 3]])
})

it('keeps a send far below what a broker takes as one request', () => {
  const records = Array.from({ length: 100 }, (_, i) => placed('t', i, 1_000_000, i))
  expect(cut(records, 1_000_000).map(({ length }) => length)).toEqual([33, 33, 33, 1])
})
