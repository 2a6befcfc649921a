import { expect, it } from 'vitest'
import { newMessageId } from '../../kernel/ids.ts'
import { decodeNote, encodeNote } from './note.ts'

it('keeps epoch, number and exactly the rows, in their order', () => {
  const max = 2n ** 63n - 1n
  for (const seqs of [[], [1n], [1n, 2n, 3n], [7n, 5n, max, 1n, 0n, 64n, -3n]]) {
    const note = { epoch: 3n, number: max, rows: seqs.map((seq) => ({ seq, id: newMessageId() })) }
    expect(decodeNote(encodeNote(note))).toEqual(note)
  }
})

it('holds 10,000 rows in less than 200 kB', () => {
  const rows = Array.from({ length: 10_000 }, (_, i) => ({
    seq: 9_000_000_000n + 100n * BigInt(i),
    id: newMessageId(),
  }))
  expect(encodeNote({ epoch: 1n, number: 1n, rows }).length).toBeLessThan(200_000)
})

it('does not take other bytes for a note', () => {
  const note = encodeNote({ epoch: 1n, number: 1n, rows: [{ seq: 5n, id: newMessageId() }] })
  const other = Buffer.from(note)
  other[0] = 2
  for (const bytes of [
    Buffer.alloc(0),
    Buffer.from('{"seqs":[1]}'),
    other,
    note.subarray(0, -1),
    note.subarray(0, 21),
  ]) {
    expect(() => decodeNote(bytes)).toThrow(expect.objectContaining({ code: 'WB_GUARANTEE_UNSUPPORTED' }))
  }
})
