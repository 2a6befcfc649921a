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
} from '../../test/fakes/track-evidence.ts'
import type { HistoryEvent } from '../testing.ts'
import { rowsOf, type Row, type Spell } from './rows.ts'

test('a fault after which what waited comes too late is invalid', () => {
  const slow = messages.find(({ id }) => id === 'm17')!
  const history = [...well.filter(({ id }) => id !== 'm17'), ...written(slow), ...delivered(slow, 16_000_000)]
  const [, kill] = rows('at-most-once', history)
  expect(kill!.verdict).toBe('invalid')
  expect(kill!.anomalies.map(({ kind, id }) => `${kind} ${id}`)).toContain('stalled m17')
  expect(Math.round(kill!.recoveryMs!)).toBe(16_000)
})

test('while one of two is stopped the other one goes on', () => {
  const pause: Spell = { fault: 'pause relay-1', from: 200, to: 300, quietAt: 350, hasStruck: true }
  const found = (history: readonly HistoryEvent[], more: object = {}): Row =>
    rowsOf({ ...evidence('at-least-once', history), ...more }, [spells[0]!, pause], true)[1]!
  expect(found(well).verdict).toBe('valid')
  const still = messages
    .filter(({ at: t }) => t < 330)
    .flatMap((message) => [
      ...written(message),
      ...delivered(message, message.at < 200 ? 5 : 320 - message.at),
    ])
  expect(found(still)).toMatchObject({
    verdict: 'invalid',
    anomalies: [{ kind: 'stalled', id: 'pause relay-1' }],
  })
  // A machine that stood still meanwhile stopped it too; one that stands still after it has not.
  const judged = (from: number, process: string): string =>
    rowsOf(evidence('at-least-once', still), [spells[0]!, pause], true, [
      { from, to: from + 20, process },
    ])[1]!.verdict
  expect([judged(250, 'relay-2'), judged(310, 'relay-2')]).toEqual(['unknown', 'invalid'])
  // That of the one that is stopped is the fault itself.
  expect(judged(250, 'relay-1')).toBe('invalid')
  // What had begun before ends at its beginning, whoever has it.
  const early = still.map((one) => (one.id === 'm10' && one.f !== 'write' ? { ...one, t: 205 } : one))
  expect(found(early).verdict).toBe('invalid')
  // A channel of the user's may have one key.
  expect(found(still, { pair: { channel: 'orders', consumer: 'shipping' } }).verdict).toBe('valid')
})

test('who loses everything for long does not work, whatever may be lost', () => {
  const events = (works: boolean): readonly HistoryEvent[] =>
    Array.from({ length: 40 }, (_, i) => {
      const message = { id: `l${i}`, seq: i + 1, at: 1_000_000 * i }
      return [...written(message), ...(works && i % 10 === 0 ? delivered(message) : [])]
    }).flat()
  const long: readonly Spell[] = [
    { fault: 'kill relay', from: 0, to: 40_000_000, quietAt: 41_000_000, hasStruck: true },
  ]
  const found = (works: boolean): readonly Row[] =>
    rowsOf(evidence('at-most-once', events(works)), long, true)
  expect(found(true)[0]).toMatchObject({ verdict: 'valid', lost: 36 })
  expect(found(false)[0]).toMatchObject({
    verdict: 'invalid',
    anomalies: expect.arrayContaining([expect.objectContaining({ kind: 'stalled', id: 'l39' })]),
  })
})

test('where the machine stood still, what comes of that alone is not known to be wrong', () => {
  const lost = evidence(
    'at-most-once',
    well.filter(({ id, f }) => id !== 'm03' || f === 'write'),
  )
  const early = rowsOf(lost, spells, true, [{ from: 50, to: 90, process: 'writer' }])
  expect(verdicts(early)).toEqual(['unknown', 'valid', 'valid'])
  expect(early[0]!.anomalies).toMatchObject([{ kind: 'vacuous', id: 'machine' }])
  const slow = messages.find(({ id }) => id === 'm27')!
  const late = [
    ...well.filter(({ id }) => id !== 'm27' && id !== 'm28'),
    ...written(slow),
    ...delivered(slow, 16_000_000),
  ]
  const found = rowsOf(evidence('at-least-once', late), spells, true, [
    { from: 510, to: 900, process: 'writer' },
  ])
  expect(verdicts(found)).toEqual(['valid', 'valid', 'unknown'])
  expect(verdicts(rowsOf(evidence('at-least-once', late), spells, true))[2]).toBe('invalid')
  // It excuses no message that is lost.
  const gone = evidence('at-least-once', lost.history)
  expect(verdicts(rowsOf(gone, spells, true, [{ from: 50, to: 90, process: 'writer' }]))[0]).toBe('invalid')
})

test('where the load was too much for the machine without a fault, what comes of that alone is not known to be wrong', () => {
  const second = 1_000_000
  const long: readonly Spell[] = [
    { fault: 'none', from: 0, to: 10 * second, quietAt: 10 * second, hasStruck: true },
    { fault: 'kill relay', from: 20 * second, to: 21 * second, quietAt: 22 * second, hasStruck: true },
  ]
  const all = Array.from({ length: 8 }, (_, i) => ({ id: `q${i}`, seq: i + 1, at: 3 * i * second }))
  const found = (waitMs: number, changed: readonly HistoryEvent[], lastMs = 5): readonly string[] => {
    const events = all.flatMap((message, i) => [
      ...written(message),
      ...delivered(message, 1000 * (i === 7 ? lastMs : i === 1 ? waitMs : 5)),
    ])
    return verdicts(rowsOf(evidence('at-least-once', [...events, ...changed]), long, true))
  }
  const again = [at(6 * second + 50_000, event('invoke', 'handle', 'q2', { key: 'k', seq: 3, hash: 'q2' }))]
  expect(found(900, again)).toEqual(['invalid', 'valid'])
  expect(found(1100, again)).toEqual(['unknown', 'valid'])
  expect(found(1100, [])).toEqual(['valid', 'valid'])
  // Nor how soon it recovers.
  expect(found(900, [], 16_000)).toEqual(['valid', 'invalid'])
  expect(found(1100, [], 16_000)).toEqual(['valid', 'unknown'])
})
