import { expect, test } from 'vitest'
import { event } from '../../test/fakes/history.ts'
import {
  at,
  delivered,
  messages,
  rows,
  spells,
  verdicts,
  well,
  written,
} from '../../test/fakes/track-evidence.ts'
import type { HistoryEvent } from '../testing.ts'
import { rowsOf, type TrackEvidence } from './rows.ts'

test('what a checker had nothing to look at for is not known, in a load that should have had it', () => {
  const kept = well.filter(({ id }) => id !== 'undone')
  const found = rows('exactly-once', kept)
  expect(verdicts(found)).toEqual(['unknown', 'unknown', 'unknown'])
  expect(found[0]!.anomalies).toMatchObject([{ kind: 'vacuous', id: 'ghosts' }])
  // Of a user's channels nothing may roll back.
  const pair = { channel: 'orders', consumer: 'shipping' }
  expect(verdicts(rows('exactly-once', kept, { pair }))).toEqual(['valid', 'valid', 'valid'])
})

test('a spell that shows nothing is unknown, and says why', () => {
  const idle = well.filter(({ id, t }) => !id!.startsWith('m1') || t > 300)
  const few = rows('at-most-once', idle)[1]!
  expect(few).toMatchObject({ verdict: 'unknown', messages: 0 })
  expect(few.anomalies).toMatchObject([{ kind: 'vacuous', id: 'messages' }])
  const missed = spells.map((spell) => ({ ...spell, hasStruck: false }))
  const track: TrackEvidence = {
    guarantee: 'at-least-once',
    way: null,
    history: well,
    readings: [],
    money: 0,
    hasFollow: false,
  }
  expect(rowsOf(track, missed, true).map(({ anomalies }) => anomalies[0]?.id)).toEqual([
    'fault',
    'fault',
    'fault',
  ])
  expect(verdicts(rowsOf(track, spells, false))).toEqual(['unknown', 'unknown', 'unknown'])
})

test('an invalid row shows all that is known of the first message that is wrong', () => {
  const lost = well.filter(({ id, f }) => id !== 'm13' || f === 'write')
  const [none, kill] = rows('exactly-once', lost)
  expect(none!.counterExample).toBeNull()
  expect(kill!.counterExample).toMatchObject({ kind: 'lost', id: 'm13' })
  expect(kill!.counterExample!.events.map(({ f, type, id }) => `${f} ${type} ${id}`)).toEqual([
    'write invoke m13',
    'write ok m13',
  ])
})

test('of two messages out of order both are shown, and of a sum its readings', () => {
  const [first, second] = [messages[2]!, messages[3]!]
  const swapped = [
    ...well.filter(({ id, f }) => (id !== first.id && id !== second.id) || f === 'write'),
    ...delivered(first, 20),
    ...delivered(second, 5),
  ]
  const ids = rows('exactly-once', swapped)[0]!.counterExample!.events.map(({ id }) => id)
  expect(new Set(ids)).toEqual(new Set([first.id, second.id]))
  const readings = [at(1, event('ok', 'reading', null, { key: 'sum', value: 99 }))]
  expect(rows('exactly-once', well, { readings })[0]!.counterExample).toMatchObject({
    kind: 'unbalanced',
    events: [{ f: 'reading', value: 99 }],
  })
})

test('a run in which nothing was committed shows nothing, from there on', () => {
  const undone = (from: number): readonly HistoryEvent[] =>
    messages.flatMap((message) => {
      if (message.at < from) return [...written(message), ...delivered(message)]
      const [begun] = written(message)
      return [begun!, at(message.at + 1, event('fail', 'write', message.id, { key: 'k' }))]
    })
  expect(verdicts(rows('exactly-once', undone(0)))).toEqual(['unknown', 'unknown', 'unknown'])
  const [, , cut] = rows('exactly-once', undone(400))
  expect(cut!.anomalies).toMatchObject([{ kind: 'vacuous', id: 'messages' }])
})

test('where nobody could read the money, exactly-once is not known to hold', () => {
  const readings = [at(1, event('fail', 'reading', null, { key: 'sum' }))]
  const found = rows('exactly-once', well, { readings })
  expect(verdicts(found)).toEqual(['unknown', 'unknown', 'unknown'])
  expect(found[0]!.anomalies).toMatchObject([{ kind: 'vacuous', id: 'conservation' }])
  expect(verdicts(rows('at-least-once', well, { readings }))).toEqual(['valid', 'valid', 'valid'])
})
