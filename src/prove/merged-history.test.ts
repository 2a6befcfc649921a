import { expect, test } from 'vitest'
import type { HistoryEvent } from '../testing.ts'
import { mergedHistory } from './merged-history.ts'

const base = { process: 'p', type: 'ok', f: 'effect', key: 'k', seq: 1 } as const
const spells = [
  { fault: 'none', from: 0, to: 10, quietAt: 11, hasStruck: true },
  { fault: 'kill relay', from: 20, to: 30, quietAt: 35, hasStruck: true },
]

test('what processes, databases and faults did is one history in order of time', () => {
  const one: readonly HistoryEvent[] = [
    { ...base, id: 'a', t: 5 },
    { ...base, id: 'b', t: 25 },
  ]
  const reading: HistoryEvent = { ...base, f: 'reading', id: null, t: 22, value: 7 }
  const merged = mergedHistory([one, [{ ...base, id: 'c', t: 1 }]], [reading], spells)
  expect(merged.map(({ f, type, id, key }) => `${f} ${type} ${id ?? key}`)).toEqual([
    'effect ok c',
    'effect ok a',
    'fault invoke kill relay',
    'reading ok k',
    'effect ok b',
    'fault ok kill relay',
  ])
})
