import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import {
  checkAll,
  delivered,
  drained,
  event,
  type Event,
  fault,
  history,
  leased,
  m1,
  m2,
  named,
  reading,
  rolledBack,
  written,
  wrote,
} from '../../test/fakes/history.ts'
import {
  accounted,
  allowedAnomalies,
  anomalyKinds,
  boundedDuplicates,
  cleanLogs,
  countedLosses,
  effectLedger,
  fencedWrites,
  ghosts,
  judge,
  lostShape,
  notVacuous,
  perKeyOrder,
  progressDuring,
  recoveryTime,
  steadyMemory,
  totalQueue,
} from './checkers.ts'

/** One more effect, with what its handler published. */
function again(id: string): readonly Event[] {
  return [event('ok', 'effect', id), event('ok', 'output', `again after ${id}`, { of: id })]
}

/** The relay that sent what was there before loses its partition. */
const takenOver: readonly Event[] = [leased('p', 1), leased('successor', 2)]

test('a history in which all is well is valid for every guarantee', () => {
  const zombie = [...takenOver, ...wrote('p', 'mark', 'm2', 0), ...wrote('p', 'ack', 'm1', 1)]
  const events = history([reading(100), ...m1, ...m2, ...rolledBack, ...zombie])
  for (const guarantee of Object.keys(allowedAnomalies) as (keyof typeof allowedAnomalies)[]) {
    expect(judge(checkAll(events), guarantee)).toEqual({ verdict: 'valid', anomalies: [] })
  }
})

test('a guarantee that there is not is refused, and the one that was meant is named', () => {
  const refused =
    (name: string): (() => unknown) =>
    () =>
      judge([], name as never)
  expect(refused('exactly-onc')).toThrow('Did you mean "exactly-once"?')
  expect(refused('bogus')).toThrow(expect.objectContaining({ code: 'WB_INVALID_OPTION' }))
  expect(refused('toString')).toThrow('There is no guarantee "toString"')
})

test('the checkers that docs/testing.md judges by find a ghost, and one message with two ends', () => {
  const page = readFileSync(new URL('../../docs/testing.md', import.meta.url), 'utf8')
  const known = { accounted, effectLedger, ghosts, perKeyOrder, totalQueue }
  const example = /export async function survivesKills[^`]*/u.exec(page)![0]
  const named = [...example.matchAll(/\b(\w+)\(history\)/gu)].map(([, name]) => name as keyof typeof known)
  expect(named).toContain('totalQueue')
  const verdict = (more: readonly Event[]): string => {
    const events = history([...m1, ...m2, ...rolledBack, ...more])
    const results = named.map((name) => known[name](events))
    return judge([...results, notVacuous(events, drained)], 'exactly-once').verdict
  }
  expect(verdict([])).toBe('valid')
  expect(verdict(delivered('r', 3))).toBe('invalid')
  expect(verdict([event('ok', 'dead', 'm1')])).toBe('invalid')
})

test.each<[string, readonly Event[], readonly string[]]>([
  ['a committed message that nobody saw', [...m1, ...written('m2', 2)], ['lost m2']],
  [
    'a message handled, without effect',
    [...m1, ...m2.filter(({ f }) => f !== 'effect' && f !== 'output')],
    ['lost m2'],
  ],
  ['two effects of one message', [...m1, ...again('m1')], ['duplicated m1']],
  [
    'two effects of a message of unknown outcome',
    [...m1, ...written('u', 2, 'info'), ...delivered('u', 2), ...again('u')],
    ['duplicated u'],
  ],
  ['a second run of the handler', [...m1, event('ok', 'handle', 'm1')], ['redelivered m1']],
  ['a second run that only began', [...m1, event('invoke', 'handle', 'm1')], ['redelivered m1']],
  ['a second copy without a fault', [...m1, event('ok', 'wire', 'm1')], ['too-many-copies m1']],
  [
    'a second copy after a fault that was over before',
    [fault, ...m1, event('ok', 'wire', 'm1')],
    ['too-many-copies m1'],
  ],
  [
    'three copies with one fault',
    [...m1, fault, event('ok', 'wire', 'm1'), event('ok', 'wire', 'm1')],
    ['too-many-copies m1'],
  ],
  [
    'the second of a key before the first',
    [...written('m1', 1), ...written('m2', 2), ...delivered('m2', 2), ...delivered('m1', 1)],
    ['out-of-order m1'],
  ],
  [
    'a handler that began on what rolled back',
    [...m1, ...rolledBack, event('invoke', 'handle', 'r')],
    ['ghost r'],
  ],
  ['a copy on the wire of what rolled back', [...m1, ...rolledBack, event('ok', 'wire', 'r')], ['ghost r']],
  ['an effect of what was never written', [...m1, ...again('x')], ['invented x']],
  [
    'a number that is missing, whose message no writer told of',
    [...m1, ...written('m3', 3), ...delivered('m3', 3)],
    ['lost k 2'],
  ],
  ['an effect without its output', m1.filter(({ f }) => f !== 'output'), ['split m1']],
  ['an output without its effect', [...m1, event('ok', 'output', 'after m9', { of: 'm9' })], ['split m9']],
  ['two outputs of one effect', [...m1, event('ok', 'output', 'more of m1', { of: 'm1' })], ['split m1']],
  ['a sum that changed', [...m1, reading(100), reading(99), reading(100)], ['unbalanced sum']],
  ['a dead letter of what was never written', [...m1, event('ok', 'dead', 'x')], ['invented x']],
  [
    'other bytes on the wire',
    m1.map((one) => (one.f === 'wire' ? { ...one, hash: 'other' } : one)),
    ['altered m1'],
  ],
  ['delivered and dead', [...m1, event('ok', 'dead', 'm1')], ['contradicted m1']],
  [
    "a zombie's line that was written",
    [...m1, ...takenOver, ...wrote('p', 'mark', 'm1', 1)],
    ['unfenced m1'],
  ],
  [
    "a zombie's delete of what it never saw confirmed",
    [...m1, ...takenOver, leased('other', 0), ...wrote('other', 'ack', 'm1', 1)],
    ['unfenced m1'],
  ],
  [
    'what a relay that has come back writes under its old epoch',
    [
      ...[...m1, ...takenOver, leased('p', 3)],
      ...wrote('p', 'mark', 'm1', 1).map((one) => ({ ...one, epoch: 1 })),
    ],
    ['unfenced m1'],
  ],
  ['nothing at all', [], ['vacuous committed']],
])('%s is named, and nothing else is', (_, events, expected) => {
  expect(named(history(events))).toEqual(expected)
})

test.each<[string, readonly Event[]]>([
  ['a dead letter', [...m1, ...written('m2', 2), event('ok', 'dead', 'm2')]],
  ['a message of unknown outcome that nobody saw', [...m1, ...written('m2', 2, 'info')]],
  [
    'a message of unknown outcome with one effect',
    [...m1, ...written('m2', 2, 'info'), ...delivered('m2', 2)],
  ],
  ['two copies of one output', [...m1, event('ok', 'output', 'after m1', { of: 'm1' })]],
  ['a line that its holder writes', [...m1, ...takenOver, ...wrote('successor', 'mark', 'm1', 1)]],
  [
    'a line that was on its way when its partition was claimed',
    [
      ...[...m1, leased('p', 1), wrote('p', 'mark', 'm1', 1)[0]!],
      ...[leased('successor', 2), wrote('p', 'mark', 'm1', 1)[1]!],
    ],
  ],
  ['a reading that failed', [...m1, event('fail', 'reading', null, { key: 'sum', value: 1 })]],
  ['a second copy with a fault before it', [...m1, fault, event('ok', 'wire', 'm1')]],
  ['a late copy of an older message on the wire', [...m1, ...m2, fault, event('ok', 'wire', 'm1')]],
  [
    'an attempt of the handler that failed',
    [...written('m1', 1), event('fail', 'handle', 'm1'), ...delivered('m1', 1)],
  ],
])('%s is no anomaly', (_, events) => {
  expect(named(history(events))).toEqual([])
})

test('an unknown commit that was looked up later is what it was found to be', () => {
  const looked = history([
    ...written('m1', 1, 'info'),
    event('ok', 'write', 'm1'),
    event('info', 'write', 'm1'),
  ])
  expect(totalQueue(looked).lost).toEqual(['m1'])
  const found = history([...written('m1', 1, 'info'), ...delivered('m1', 1)])
  expect(totalQueue(found)).toMatchObject({ ok: 0, recovered: ['m1'] })
})

test('a fault that lasts explains copies within it, one that was healed before does not', () => {
  const begin = event('invoke', 'fault', null, { key: 'partition' })
  const end = event('ok', 'fault', null, { key: 'partition' })
  const copy = event('ok', 'wire', 'm1')
  expect(boundedDuplicates(history([begin, ...m1, copy, end])).anomalies).toEqual([])
  expect(boundedDuplicates(history([begin, ...m1, copy])).anomalies).toEqual([])
  expect(boundedDuplicates(history([begin, end, ...m1, copy])).anomalies).toHaveLength(1)
})

test('deletes of a zombie that saw the confirm are counted, and all that it wrote in vain', () => {
  const writes = [
    ...wrote('p', 'mark', 'm2', 0),
    ...wrote('p', 'ack', 'm1', 1),
    ...wrote('p', 'ack', 'm2', 0),
  ]
  const found = fencedWrites(history([...m1, ...m2, ...takenOver, ...writes]))
  expect(found).toEqual({ checker: 'fencedWrites', checked: 3, anomalies: [], lateConfirms: 1 })
})

test('order can be judged on the wire and by handler as well', () => {
  const turned = history([
    ...written('m1', 1),
    ...written('m2', 2),
    event('ok', 'wire', 'm2'),
    event('ok', 'wire', 'm1'),
  ])
  expect(perKeyOrder(turned, 'wire').anomalies.map(({ id }) => id)).toEqual(['m1'])
})

test('a run that could not have shown anything is unknown, not valid', () => {
  const events = history([...m1, ...rolledBack])
  const limits = {
    minCommitted: 2,
    minFaults: 1,
    isDrained: false,
    pending: 3,
    sometimes: { 'lease lost': false, kill: true },
  }
  const ids = notVacuous(events, limits).anomalies.map(({ id }) => id)
  expect(ids).toEqual(['committed', 'faults', 'drain', 'pending', 'lease lost'])
  expect(judge([effectLedger(events), notVacuous(events, limits)], 'exactly-once').verdict).toBe('unknown')
  expect(judge([ghosts(history(m1))], 'exactly-once')).toMatchObject({
    verdict: 'unknown',
    anomalies: [{ id: 'ghosts' }],
  })
  expect(judge([], 'exactly-once').verdict).toBe('unknown')
})

test('what is wrong counts more than what is vacuous', () => {
  const events = history([...m1, event('ok', 'effect', 'm1')])
  const judgement = judge(
    [effectLedger(events), notVacuous(events, { ...drained, minFaults: 1 })],
    'exactly-once',
  )
  expect(judgement).toMatchObject({ verdict: 'invalid', anomalies: [{ kind: 'duplicated', id: 'm1' }] })
})

test('the table of allowed anomalies is the whole difference between guarantees', () => {
  // Made from the table of guarantees: what may be seen of a channel is what its guarantee leaves open.
  expect(allowedAnomalies).toEqual({
    'at-most-once': ['lost'],
    'at-least-once': ['redelivered', 'duplicated'],
    'effectively-once': ['redelivered'],
    'exactly-once': ['redelivered'],
  })
  const twice = [effectLedger(history([...m1, event('ok', 'effect', 'm1')]))]
  expect(judge(twice, 'at-least-once').verdict).toBe('valid')
  expect(judge(twice, 'exactly-once').verdict).toBe('invalid')
  const lost = [effectLedger(history(written('m1', 1)))]
  expect(judge(lost, 'at-most-once').verdict).toBe('valid')
  expect(judge(lost, 'at-least-once').verdict).toBe('invalid')
})

const cut = (type: 'invoke' | 'ok'): Event => event(type, 'fault', null, { key: 'cut' })

test('a fault during which nothing of what it does not touch goes on is named', () => {
  const during = history([...m1, cut('invoke'), ...m2, cut('ok')])
  expect(progressDuring(during, { fault: 'cut' })).toEqual({
    checker: 'progressDuring',
    checked: 1,
    anomalies: [],
  })
  const stalled = [{ kind: 'stalled', id: 'cut' }]
  expect(progressDuring(during, { fault: 'cut', minDelta: 2 })).toMatchObject({ anomalies: stalled })
  expect(progressDuring(during, { fault: 'cut', keys: new Set(['other']) })).toMatchObject({
    anomalies: stalled,
  })
  const after = history([...m1, cut('invoke'), cut('ok'), ...m2])
  expect(progressDuring(after, { fault: 'cut' })).toMatchObject({ anomalies: stalled })
  // One time of two is enough to be wrong, and another fault's time is nothing to this one.
  const twice = history([cut('invoke'), ...m1, cut('ok'), cut('invoke'), cut('ok'), ...m2])
  expect(progressDuring(twice, { fault: 'cut' })).toMatchObject({ checked: 2, anomalies: stalled })
  expect(progressDuring(after, { fault: 'kill' }).checked).toBe(0)
})

test('recovery is from the last heal to the last end of what was written before it', () => {
  // At the times 0 and 1 m1 is written, 2 and 3 are the fault, its effect is at 1006.
  const events = [...written('m1', 1), cut('invoke'), cut('ok')]
  const slow = [
    ...history(events),
    ...history([event('ok', 'effect', 'm1', { key: 'k', seq: 1 })]).map((one) => ({ ...one, t: 1_003 })),
    ...history([...m2]).map((one) => ({ ...one, t: one.t + 900_000 })),
  ]
  expect(recoveryTime(slow, 1)).toEqual({ checker: 'recoveryTime', checked: 1, anomalies: [], recoveryMs: 1 })
  expect(recoveryTime(slow, 0.9)).toMatchObject({ anomalies: [{ kind: 'stalled', id: 'm1' }], recoveryMs: 1 })
  // Without a fault, or with nothing that waited for its end, there is nothing to recover from.
  expect(recoveryTime(history(m1), 1)).toMatchObject({ checked: 0, recoveryMs: null })
  expect(recoveryTime(history([fault, ...m1]), 1)).toMatchObject({ checked: 0, recoveryMs: null })
})

test('the shape of a loss is told by its place in the order of writing', () => {
  const ids = ['m1', 'm2', 'm3', 'm4']
  const events = history([...ids.flatMap((id, at) => written(id, at + 1)), ...rolledBack])
  expect(lostShape(events, [])).toBe('none')
  expect(lostShape(events, ['m1', 'm2'])).toBe('prefix')
  expect(lostShape(events, ['m2', 'm3'])).toBe('middle')
  expect(lostShape(events, ['m1', 'm4'])).toBe('middle')
  expect(lostShape(events, ['m4'])).toBe('postfix')
  expect(lostShape(events, ids)).toBe('everything')
})

test('a secret, a payload or an error that nobody handled in a log is named, and the line is not repeated', () => {
  const limits = { secrets: ['hunter2', 'canary-77'] }
  const logs = {
    relay: ['all is well', 'connected to postgres://me:hunter2@host'],
    consumer: ['triggerUncaughtException', 'uncaught exception', 'PromiseRejection: unhandledRejection'],
    writer: ['a payload canary-77', 'FATAL: too many connections', 'FATALLY is a word'],
  }
  const result = cleanLogs(logs, limits)
  expect(result.anomalies.map(({ kind, id }) => `${kind} ${id}`)).toEqual([
    'leaked relay',
    'crashed consumer',
    'crashed consumer',
    'crashed consumer',
    'leaked writer',
    'crashed writer',
  ])
  expect(result.checked).toBe(8)
  expect(JSON.stringify(result)).not.toMatch(/hunter2|canary/u)
  expect(cleanLogs({ relay: ['well'] }, limits).anomalies).toEqual([])
})

test('memory has to stay: it may grow by half', () => {
  const memory = [
    { process: 'relay', first: 100, last: 150 },
    { process: 'writer', first: 100, last: 151 },
  ]
  expect(steadyMemory(memory)).toEqual({
    checker: 'steadyMemory',
    checked: 2,
    anomalies: [
      { kind: 'grew', id: 'writer', detail: 'from 100 in the first third of the run to 151 in its last' },
    ],
  })
  expect(steadyMemory(memory, 1.6).anomalies).toEqual([])
})

test('what is lost is counted; what is counted need not be lost', () => {
  const events = history([
    ...written('m1', 1),
    ...written('m2', 2),
    ...delivered('m2', 2),
    ...written('m3', 3),
  ])
  expect(countedLosses(events, 1).anomalies).toEqual([
    { kind: 'uncounted', id: 'losses', detail: '2 lost, of which 1 are counted' },
  ])
  expect(countedLosses(events, 2).anomalies).toEqual([])
  expect(countedLosses(events, 3).anomalies).toEqual([])
})

test('every kind of anomaly is found by some checker', () => {
  const histories = [
    [...m1, ...written('m2', 2)],
    [...m1, event('ok', 'effect', 'm1'), reading(1)],
    [...m1, event('ok', 'handle', 'm1'), event('ok', 'wire', 'm1')],
    [...written('m1', 1), ...written('m2', 2), ...delivered('m2', 2), ...delivered('m1', 1)],
    [...rolledBack, ...delivered('r', 3), event('ok', 'effect', 'x'), event('ok', 'dead', 'r')],
    [...m1, event('ok', 'wire', 'm1', { hash: 'other' })],
    [...m1, ...takenOver, ...wrote('p', 'mark', 'm1', 1)],
    [],
  ]
  const results = [
    ...histories.flatMap((events) => checkAll(history(events))),
    progressDuring(history([fault]), { fault: fault.key! }),
    cleanLogs({ relay: ['hunter2', 'unhandledRejection'] }, { secrets: ['hunter2'] }),
    steadyMemory([{ process: 'relay', first: 100, last: 151 }]),
    countedLosses(history(written('m1', 1)), 0),
  ]
  const found = new Set(results.flatMap(({ anomalies }) => anomalies.map(({ kind }) => kind)))
  expect([...anomalyKinds].filter((kind) => !found.has(kind))).toEqual([])
})
