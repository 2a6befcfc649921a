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
  written,
  type Message,
} from '../../test/fakes/track-evidence.ts'
import type { HistoryEvent } from '../testing.ts'
import { noFault, rowsOf, startSpell, type Row, type Spell, type TrackEvidence } from './rows.ts'

test('what is lost is charged to the spell in which it was written, and to no other', () => {
  const lost = well.filter(({ id, f }) => id !== 'm13' || f === 'write')
  const exactly = rows('exactly-once', lost)
  expect(verdicts(exactly)).toEqual(['valid', 'invalid', 'valid'])
  expect(exactly[1]!.anomalies[0]).toMatchObject({ kind: 'lost', id: 'm13' })
  expect(exactly[1]!.anomalies[0]!.detail).toContain('(middle of all)')
  const most = rows('at-most-once', lost)
  expect(verdicts(most)).toEqual(['valid', 'valid', 'valid'])
  expect(most.map((row) => row.lost)).toEqual([0, 1, 0])
})

test('what is lost long before a fault was not lost by it', () => {
  const second = 1_000_000
  const far: readonly Spell[] = [
    { fault: 'none', from: 0, to: 5 * second, quietAt: 5 * second, hasStruck: true },
    { fault: 'kill relay', from: 20 * second, to: 21 * second, quietAt: 22 * second, hasStruck: true },
  ]
  const all = Array.from({ length: 22 }, (_, i) => ({ id: `q${i}`, seq: i + 1, at: i * second }))
  const lose = (gone: string): readonly string[] => {
    const history = all.flatMap((one) => [...written(one), ...(one.id === gone ? [] : delivered(one))])
    return verdicts(rowsOf(evidence('at-most-once', history), far, true))
  }
  expect(lose('q8')).toEqual(['invalid', 'valid'])
  expect(lose('q19')).toEqual(['valid', 'valid'])
})

test('what comes again is told, and charged to each spell in which it was under way', () => {
  const again = messages.find(({ id }) => id === 'm12')!
  const found = rows('at-least-once', [...well, ...delivered(again, 200)])
  expect(verdicts(found)).toEqual(['valid', 'valid', 'valid'])
  expect(found.map(({ rerun, repeated }) => [rerun, repeated])).toEqual([
    [0, 0],
    [1, 1],
    [1, 1],
  ])
  expect(verdicts(rows('exactly-once', [...well, ...delivered(again, 200)]))).toEqual([
    'valid',
    'invalid',
    'invalid',
  ])
})

test('money that is not there speaks against every spell', () => {
  const readings = [at(1, event('ok', 'reading', null, { key: 'sum', value: 99 }))]
  expect(verdicts(rows('exactly-once', well, { readings }))).toEqual(['invalid', 'invalid', 'invalid'])
})

test('what is wrong between the start and the baseline is charged to the start, though nothing was under way there', () => {
  const start: Spell = { fault: startSpell, from: -100, to: -50, quietAt: -50, hasStruck: true }
  const between = { id: 'early', seq: 0, at: -20 }
  const twice = [...written(between), ...delivered(between), ...delivered(between, 7), ...well]
  const found = rowsOf(evidence('effectively-once', twice), [start, ...spells], true)
  expect(verdicts(found)).toEqual(['invalid', 'valid', 'valid', 'valid'])
  const once = rowsOf(evidence('effectively-once', well), [start, ...spells], true)
  expect(verdicts(once)).toEqual(['not-run', 'valid', 'valid', 'valid'])
})

test('a track that gets its first message later has not been seen at the start', () => {
  const began: Spell = { fault: startSpell, from: -100_000, to: -50_000, quietAt: -50_000, hasStruck: true }
  const [first, ...rest] = rowsOf(evidence('at-least-once', well), [began, ...spells], true)
  expect(first).toMatchObject({ fault: startSpell, verdict: 'not-run' })
  expect(verdicts(rest)).toEqual(['valid', 'valid', 'valid'])
})

test('what happens in the quiet between two faults, and behind the last, is charged to the fault before', () => {
  const [quiet, last] = [messages[8]!, messages.at(-1)!]
  expect(last.at).toBeGreaterThan(spells.at(-1)!.to)
  const again = (message: Message): readonly Row[] =>
    rows('exactly-once', [...well, ...delivered(message, 7)])
  expect(verdicts(again(quiet))).toEqual(['invalid', 'valid', 'valid'])
  expect(verdicts(again(last))).toEqual(['valid', 'valid', 'invalid'])
  const lost = well.filter(({ id, f }) => id !== last.id || f === 'write')
  const found = rows('exactly-once', lost)
  expect(verdicts(found)).toEqual(['valid', 'valid', 'invalid'])
  expect(found[2]!.anomalies[0]).toMatchObject({ kind: 'lost', id: last.id })
})

test('while everything is started a server may be late, so what a guarantee leaves open may happen there', () => {
  const lost = well.filter(({ id, f }) => id !== 'm03' || f === 'write')
  const started = spells.map((spell) => (spell.fault === noFault ? { ...spell, fault: startSpell } : spell))
  const verdictOf = (guarantee: TrackEvidence['guarantee']): unknown =>
    rowsOf(evidence(guarantee, lost), started, true).map(({ fault, verdict }) => [fault, verdict])[0]
  expect(verdictOf('at-most-once')).toEqual([startSpell, 'valid'])
  expect(verdictOf('at-least-once')).toEqual([startSpell, 'invalid'])
})

test('what a handler of theirs refuses is told as dead, and leaves no gap under the name its key has in the store', () => {
  const pair = { channel: 'orders', consumer: 'shipping' }
  const theirs = (one: HistoryEvent): HistoryEvent =>
    one.key === 'k' ? { ...one, key: 'orders/shipping k' } : one
  const refused = [
    ...well.filter(({ id, f }) => id !== 'm03' || f === 'write').map(theirs),
    at(messages.find(({ id }) => id === 'm03')!.at + 5, event('ok', 'dead', 'm03', { key: 'k' })),
  ]
  const found = rows('exactly-once', refused, { pair })
  expect(verdicts(found)).toEqual(['valid', 'valid', 'valid'])
  expect(found.map(({ dead, lost }) => [dead, lost])).toEqual([
    [1, 0],
    [0, 0],
    [0, 0],
  ])
})
