import { expect, test } from 'vitest'
import { event } from '../../test/fakes/history.ts'
import type { HistoryEvent } from '../testing.ts'
import { memoryOf } from './memory.ts'

function sample(process: string, t: number, megabytes: number): HistoryEvent {
  return { ...event('info', 'reading', null, { key: 'memory', value: megabytes * 1e6 }), process, t }
}

test('memory is told by process: its highest, and the medians of the first third and the last', () => {
  const relay = [100, 102, 400, 140, 141, 150, 110, 112, 111].map((value, i) => sample('relay-1', i, value))
  const writer = [sample('writer', 0, 80.04), sample('writer', 8, 90)]
  const money: HistoryEvent = {
    ...event('ok', 'reading', null, { key: 'exactly-once', value: 1 }),
    process: 'prove',
    t: 1,
  }
  expect(memoryOf([...relay, money, ...writer])).toEqual([
    { process: 'relay-1', highest: 400, first: 102, last: 111 },
    { process: 'writer', highest: 90, first: 80, last: 90 },
  ])
})

test('where nothing was noted nothing is told', () => {
  expect(memoryOf([])).toEqual([])
})
