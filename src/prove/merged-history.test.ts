import { rmSync, statSync } from 'node:fs'
import { expect, onTestFinished, test } from 'vitest'
import { type HistoryEvent, readHistory } from '../testing.ts'
import { keepHistory, mergedHistory } from './merged-history.ts'

const base = { process: 'p', type: 'ok', f: 'effect', key: 'k', seq: 1 } as const
const spells = [
  { fault: 'none', from: 0, to: 10, quietAt: 11, hasStruck: true },
  { fault: 'kill relay', from: 20, to: 30, quietAt: 35, hasStruck: true },
]

test('what processes, databases and faults did is one history in order of time, which can be read again', () => {
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
  const path = keepHistory(`waybill_prove_test_${process.pid}`, merged)
  onTestFinished(() => {
    rmSync(path)
  })
  expect(readHistory([path])).toEqual(merged)
  // It tells keys and times of somebody's messages.
  expect(statSync(path).mode & 0o777).toBe(0o600)
})
