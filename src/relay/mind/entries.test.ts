import { expect, test } from 'vitest'
import { Entries } from './entries.ts'
import type { Entry } from './state.ts'

function entry(seq: bigint, id: string): Entry {
  return { row: { partition: 1, seq, id }, sameId: null } as unknown as Entry
}

test('rows of one id are told apart by their numbers, and each is forgotten alone', () => {
  const entries = new Entries()
  const [first, second, third, other] = [entry(1n, 'a'), entry(2n, 'a'), entry(3n, 'a'), entry(1n, 'b')]
  for (const each of [first, second, third, other]) entries.add(each)
  expect([...entries.values()]).toHaveLength(4)
  for (const each of [first, second, third, other]) expect(entries.get(each.row)).toBe(each)
  expect(entries.get({ id: 'a', seq: 4n })).toBeNull()
  expect(entries.get({ id: 'c', seq: 1n })).toBeNull()

  entries.delete(second)
  expect(entries.get(second.row)).toBeNull()
  entries.delete(third)
  expect(entries.get(third.row)).toBeNull()
  expect(entries.get(first.row)).toBe(first)
  entries.delete(first)
  expect([...entries.values()]).toEqual([other])
})

test('a row that is forgotten twice takes none of its name away', () => {
  const entries = new Entries()
  const [old, again] = [entry(1n, 'a'), entry(1n, 'a')]
  entries.add(old)
  entries.delete(old)
  entries.add(again)
  entries.delete(old)
  expect(entries.get(old.row)).toBe(again)
})

test('rows may be forgotten while they are walked over', () => {
  const entries = new Entries()
  for (const each of [entry(1n, 'a'), entry(2n, 'a'), entry(3n, 'b')]) entries.add(each)
  const seen: bigint[] = []
  for (const each of entries.values()) {
    seen.push(each.row.seq)
    entries.delete(each)
  }
  expect(seen.toSorted()).toEqual([1n, 2n, 3n])
  expect([...entries.values()]).toEqual([])
})
