import { expect, test } from 'vitest'
import { event, type Event } from '../../test/fakes/history.ts'
import type { HistoryEvent } from '../testing.ts'
import { noFault, type Row, rowsOf, type Spell, startSpell, type TrackEvidence } from './rows.ts'

const spells: readonly Spell[] = [
  { fault: 'none', from: 0, to: 100, quietAt: 110, hasStruck: true },
  { fault: 'kill relay', from: 200, to: 300, quietAt: 350, hasStruck: true },
  { fault: 'cut', from: 400, to: 500, quietAt: 550, hasStruck: true },
]

interface Message {
  readonly id: string
  readonly seq: number
  readonly at: number
}

/** Eight messages of one key in each spell, and one in the quiet after it. */
const messages: readonly Message[] = spells.flatMap(({ from }, spell) =>
  Array.from({ length: 9 }, (_, i) => ({
    id: `m${spell}${i}`,
    seq: spell * 9 + i + 1,
    at: from + 10 * i + (i === 8 ? 50 : 0),
  })),
)

function at(t: number, one: Event): HistoryEvent {
  return { process: 'p', ...one, t }
}

function written({ id, seq, at: t }: Message): readonly HistoryEvent[] {
  const rest = { key: 'k', seq, hash: id }
  return [at(t, event('invoke', 'write', id, { key: 'k' })), at(t + 1, event('ok', 'write', id, rest))]
}

function delivered({ id, seq, at: t }: Message, later = 5): readonly HistoryEvent[] {
  const rest = { key: 'k', seq, hash: id }
  return [
    at(t + later - 1, event('invoke', 'handle', id, rest)),
    at(t + later, event('ok', 'effect', id, rest)),
    at(t + later, event('ok', 'handle', id, rest)),
  ]
}

/** Another rolls back. */
const undone = [
  at(2, event('invoke', 'write', 'undone', { key: 'k' })),
  at(3, event('fail', 'write', 'undone', { key: 'k' })),
]

const well = [...messages.flatMap((message) => [...written(message), ...delivered(message)]), ...undone]

function rows(
  guarantee: TrackEvidence['guarantee'],
  history: readonly HistoryEvent[],
  more: Partial<TrackEvidence> = {},
): readonly Row[] {
  const sorted = [...history].sort((a, b) => a.t - b.t)
  const readings = [at(1, event('ok', 'reading', null, { key: 'sum', value: 100 }))]
  return rowsOf(
    { guarantee, way: null, history: sorted, readings, money: 100, hasFollow: false, ...more },
    spells,
    true,
  )
}

/** Of which no money is read, and another message rolls back. */
function evidence(guarantee: TrackEvidence['guarantee'], history: readonly HistoryEvent[]): TrackEvidence {
  const others = history.filter(({ id }) => id !== 'undone')
  const sorted = [...others, ...undone].sort((a, b) => a.t - b.t)
  return { guarantee, way: null, history: sorted, readings: [], money: 0, hasFollow: false }
}

function verdicts(found: readonly Row[]): readonly string[] {
  return found.map(({ verdict }) => verdict)
}

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

test('what a checker had nothing to look at for is not known, in a load that should have had it', () => {
  const kept = well.filter(({ id }) => id !== 'undone')
  const found = rows('exactly-once', kept)
  expect(verdicts(found)).toEqual(['unknown', 'unknown', 'unknown'])
  expect(found[0]!.anomalies).toMatchObject([{ kind: 'vacuous', id: 'ghosts' }])
  // Of a user's channels nothing may roll back.
  const pair = { channel: 'orders', consumer: 'shipping' }
  expect(verdicts(rows('exactly-once', kept, { pair }))).toEqual(['valid', 'valid', 'valid'])
})

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

test('without a fault no handler runs again, even where a run that changed nothing leaves no trace', () => {
  const first = messages.find(({ id }) => id === 'm03')!
  const begun = delivered(first, 8).filter(({ type }) => type === 'invoke')
  for (const guarantee of ['at-least-once', 'effectively-once', 'exactly-once'] as const)
    expect(verdicts(rows(guarantee, [...well, ...begun]))).toEqual(['invalid', 'valid', 'valid'])
  const later = messages.find(({ id }) => id === 'm13')!
  const again = delivered(later, 8).filter(({ type }) => type === 'invoke')
  expect(rows('exactly-once', [...well, ...again])[1]).toMatchObject({ verdict: 'valid', rerun: 1 })
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

test('money that is not there speaks against every spell', () => {
  const readings = [at(1, event('ok', 'reading', null, { key: 'sum', value: 99 }))]
  expect(verdicts(rows('exactly-once', well, { readings }))).toEqual(['invalid', 'invalid', 'invalid'])
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

test('while everything is started a server may be late, so what a guarantee leaves open may happen there', () => {
  const lost = well.filter(({ id, f }) => id !== 'm03' || f === 'write')
  const started = spells.map((spell) => (spell.fault === noFault ? { ...spell, fault: startSpell } : spell))
  const verdictOf = (guarantee: TrackEvidence['guarantee']): unknown =>
    rowsOf(evidence(guarantee, lost), started, true).map(({ fault, verdict }) => [fault, verdict])[0]
  expect(verdictOf('at-most-once')).toEqual([startSpell, 'valid'])
  expect(verdictOf('at-least-once')).toEqual([startSpell, 'invalid'])
})
