import { expect, test } from 'vitest'
import { event } from '../../test/fakes/history.ts'
import {
  at,
  delivered,
  evidence,
  messages,
  rows,
  spells,
  verdicts,
  well,
} from '../../test/fakes/track-evidence.ts'
import type { HistoryEvent } from '../testing.ts'
import { rowsOf, type Row, type Spell, type TrackEvidence } from './rows.ts'

test('a run in which all is well is valid in each spell, for every guarantee', () => {
  for (const guarantee of ['at-most-once', 'at-least-once', 'effectively-once', 'exactly-once'] as const) {
    const found = rows(guarantee, well)
    expect(verdicts(found)).toEqual(['valid', 'valid', 'valid'])
    expect(found[1]).toMatchObject({
      fault: 'kill relay',
      messages: 8,
      rerun: 0,
      repeated: 0,
      lost: 0,
      dead: 0,
      anomalies: [],
    })
  }
})

test('without a fault nothing may be lost, whatever the guarantee leaves open', () => {
  const lost = well.filter(({ id, f }) => id !== 'm03' || f === 'write')
  expect(verdicts(rows('at-most-once', lost))).toEqual(['invalid', 'valid', 'valid'])
})

test('what is lost is counted, where it can be seen', () => {
  const lost = well.filter(({ id, f }) => id !== 'm13' || f === 'write')
  expect(verdicts(rows('at-most-once', lost, { counted: 1 }))).toEqual(['valid', 'valid', 'valid'])
  const uncounted = rows('at-most-once', lost, { counted: 0 })
  // Nobody knows which of them it is.
  expect(verdicts(uncounted)).toEqual(['invalid', 'invalid', 'invalid'])
  expect(uncounted[0]!.anomalies).toMatchObject([{ kind: 'uncounted', id: 'losses' }])
})

test('nothing of its own load may be given up, and what is given up is told', () => {
  const buried = (id: string): readonly HistoryEvent[] => [
    ...well.filter((one) => one.id !== id || one.f === 'write'),
    at(messages.find((message) => message.id === id)!.at + 5, event('ok', 'dead', id, { key: 'k' })),
  ]
  for (const guarantee of ['at-most-once', 'at-least-once', 'exactly-once'] as const)
    expect(verdicts(rows(guarantee, buried('m03')))).toEqual(['invalid', 'valid', 'valid'])
  expect(rows('at-least-once', buried('m03'))[0]!.anomalies).toMatchObject([{ kind: 'lost', id: 'm03' }])
  // Nor under one: none lasts for all attempts of a message.
  const under = rows('at-least-once', buried('m13'))
  expect(under.map(({ dead }) => dead)).toEqual([0, 1, 0])
  expect(verdicts(under)).toEqual(['valid', 'invalid', 'valid'])
  // A handler of the user's may refuse a message.
  const pair = { channel: 'orders', consumer: 'shipping' }
  expect(rows('at-least-once', buried('m03'), { pair })[0]).toMatchObject({ verdict: 'valid', dead: 1 })
})

test('without a fault no handler runs again, even where a run that changed nothing leaves no trace', () => {
  const first = messages.find(({ id }) => id === 'm03')!
  const begun = delivered(first, 8).filter(({ type }) => type === 'invoke')
  for (const guarantee of ['at-least-once', 'effectively-once', 'exactly-once'] as const)
    expect(verdicts(rows(guarantee, [...well, ...begun]))).toEqual(['invalid', 'valid', 'valid'])
  const later = messages.find(({ id }) => id === 'm13')!
  const again = delivered(later, 8).filter(({ type }) => type === 'invoke')
  expect(rows('exactly-once', [...well, ...again])[1]).toMatchObject({ verdict: 'valid', rerun: 1 })
})

test('who ends in order leaves no copy and loses nothing, whatever the guarantee leaves open (F16)', () => {
  const restart: readonly Spell[] = [spells[0]!, { ...spells[1]!, fault: 'restart consumer-1' }, spells[2]!]
  const judged = (
    guarantee: TrackEvidence['guarantee'],
    history: readonly HistoryEvent[],
    ...more: [object?, Parameters<typeof rowsOf>[3]?]
  ): Row => rowsOf({ ...evidence(guarantee, history), ...more[0] }, restart, true, more[1])[1]!
  const [first, last] = ['m12', 'm17'].map((id) => messages.find((one) => one.id === id)!)
  const again = [...well, ...delivered(first!, 8)]
  const copied = judged('at-least-once', again)
  expect(copied.verdict).toBe('invalid')
  expect(copied.anomalies.map(({ kind, id }) => `${kind} ${id}`)).toContain('duplicated m12')
  const begun = delivered(first!, 8).filter(({ type }) => type === 'invoke')
  expect(judged('at-least-once', [...well, ...begun])).toMatchObject({ verdict: 'valid', rerun: 1 })
  const lost = well.filter(({ id, f }) => id !== 'm12' || f === 'write')
  expect(judged('at-most-once', lost).verdict).toBe('invalid')
  expect(judged('at-least-once', well).verdict).toBe('valid')
  // Another fault can have done it, or a machine that stood still; and handlers of the user's may take longer than anybody waits.
  expect(judged('at-least-once', [...well, ...delivered(last!, 150)]).verdict).toBe('valid')
  const stall = { from: 250, to: 290, process: 'relay-2' }
  expect(judged('at-least-once', again, {}, [stall]).verdict).toBe('valid')
  expect(judged('at-least-once', again, { pair: { channel: 'o', consumer: 's' } }).verdict).toBe('valid')
})

test('what handlers publish has its effect once too', () => {
  const output = (id: string, of: string): HistoryEvent => at(230, event('ok', 'output', id, { of }))
  const each = messages.map(({ id }) => output(`of ${id}`, id))
  const hasFollow = true
  expect(verdicts(rows('exactly-once', [...well, ...each], { hasFollow }))).toEqual([
    'valid',
    'valid',
    'valid',
  ])
  const again = rows('exactly-once', [...well, ...each, output('of m13', 'm13')], { hasFollow })
  expect(verdicts(again)).toEqual(['valid', 'invalid', 'valid'])
  expect(again[1]!.anomalies).toMatchObject([{ kind: 'duplicated', id: 'm13' }])
})
