import fc from 'fast-check'
import { expect, test } from 'vitest'
import {
  accounted,
  allowedAnomalies,
  anomalyKinds,
  boundedDuplicates,
  bytesEqual,
  effectLedger,
  ghosts,
  judge,
  notVacuous,
  perKeyOrder,
  singleRuns,
  totalQueue,
  type AnomalyKind,
  type CheckResult,
} from './checkers.ts'
import type { HistoryEvent } from './history.ts'

type Event = Omit<HistoryEvent, 'process' | 't'>

/** Events at the times 0, 1, 2, … */
function history(events: readonly Event[]): readonly HistoryEvent[] {
  return events.map((event, t) => ({ process: 'p', ...event, t }))
}

function event(
  type: HistoryEvent['type'],
  f: HistoryEvent['f'],
  id: string | null,
  rest: Partial<Event> = {},
): Event {
  return { type, f, id, key: null, seq: null, ...rest }
}

function written(id: string, seq: number, end: 'ok' | 'fail' | 'info' = 'ok'): readonly Event[] {
  const rest = { key: 'k', seq, hash: `hash of ${id}` }
  return [event('invoke', 'write', id, rest), event(end, 'write', id, rest)]
}

function delivered(id: string, seq: number): readonly Event[] {
  const rest = { key: 'k', seq, hash: `hash of ${id}` }
  return [
    event('ok', 'wire', id, rest),
    event('invoke', 'handle', id, rest),
    event('ok', 'effect', id, rest),
    event('ok', 'handle', id, rest),
  ]
}

const fault = event('info', 'fault', null, { key: 'kill relay' })
const drained = { isDrained: true, pending: 0 }

function checkAll(events: readonly HistoryEvent[]): readonly CheckResult[] {
  return [
    totalQueue(events),
    accounted(events),
    effectLedger(events),
    ghosts(events),
    bytesEqual(events),
    perKeyOrder(events),
    boundedDuplicates(events),
    singleRuns(events),
    notVacuous(events, drained),
  ]
}

/** What all checkers say, each kind and id once. */
function named(events: readonly HistoryEvent[]): readonly string[] {
  const all = checkAll(events).flatMap(({ anomalies }) => anomalies.map(({ kind, id }) => `${kind} ${id}`))
  return [...new Set(all)].sort()
}

const m1 = [...written('m1', 1), ...delivered('m1', 1)]
const m2 = [...written('m2', 2), ...delivered('m2', 2)]
const rolledBack = written('r', 3, 'fail')

test('a history in which all is well is valid for every guarantee', () => {
  const events = history([...m1, ...m2, ...rolledBack])
  for (const guarantee of Object.keys(allowedAnomalies) as (keyof typeof allowedAnomalies)[]) {
    expect(judge(checkAll(events), guarantee)).toEqual({ verdict: 'valid', anomalies: [] })
  }
})

test.each<[string, readonly Event[], readonly string[]]>([
  ['a committed message that nobody saw', [...m1, ...written('m2', 2)], ['lost m2']],
  ['a message handled, without effect', [...m1, ...m2.filter(({ f }) => f !== 'effect')], ['lost m2']],
  ['two effects of one message', [...m1, event('ok', 'effect', 'm1')], ['duplicated m1']],
  [
    'two effects of a message of unknown outcome',
    [...m1, ...written('u', 2, 'info'), ...delivered('u', 2), event('ok', 'effect', 'u')],
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
  ['an effect of what was never written', [...m1, event('ok', 'effect', 'x')], ['invented x']],
  ['a dead letter of what was never written', [...m1, event('ok', 'dead', 'x')], ['invented x']],
  [
    'other bytes on the wire',
    m1.map((one) => (one.f === 'wire' ? { ...one, hash: 'other' } : one)),
    ['altered m1'],
  ],
  ['delivered and dead', [...m1, event('ok', 'dead', 'm1')], ['contradicted m1']],
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

interface Run {
  readonly events: readonly Event[]
  readonly ids: readonly string[]
}

// Two keys, all committed, each handled in commit order; at least two messages of the key `a`.
const validRun: fc.Arbitrary<Run> = fc
  .array(fc.constantFrom('a', 'b'), { minLength: 1, maxLength: 12 })
  .map((keys) => {
    const next = new Map<string, number>()
    const messages = ['a', 'a', ...keys].map((key, index) => {
      const seq = (next.get(key) ?? 0) + 1
      next.set(key, seq)
      return { id: `m${index}`, key, seq }
    })
    const on = ({ id, key, seq }: (typeof messages)[number], events: readonly Event[]): readonly Event[] =>
      events.map((one) => ({ ...one, id, key, seq, hash: `hash of ${id}` }))
    return {
      ids: messages.map(({ id }) => id),
      events: [
        ...messages.flatMap((message) => on(message, written(message.id, message.seq))),
        ...rolledBack,
        ...messages.flatMap((message) => on(message, delivered(message.id, message.seq))),
      ],
    }
  })

interface Mutation {
  readonly kind: AnomalyKind
  /** Returns the changed events and the id that must be named. */
  readonly apply: (run: Run, at: number) => { readonly events: readonly Event[]; readonly id: string }
}

const mutations: Readonly<Record<string, Mutation>> = {
  drop: {
    kind: 'lost',
    apply: ({ events, ids }, at) => {
      const id = ids[at % ids.length]!
      return { id, events: events.filter((one) => one.id !== id || one.f === 'write') }
    },
  },
  duplicate: {
    kind: 'duplicated',
    apply: ({ events, ids }, at) => {
      const id = ids[at % ids.length]!
      const twice = (one: Event): readonly Event[] =>
        one.id === id && one.f === 'effect' ? [one, one] : [one]
      return { id, events: events.flatMap(twice) }
    },
  },
  swap: {
    kind: 'out-of-order',
    apply: ({ events, ids }) => {
      // The first two messages are of one key; the effects of the two change places.
      const places = ids
        .slice(0, 2)
        .map((id) => events.findIndex((one) => one.id === id && one.f === 'effect'))
      const [first, second] = places.map((place) => events[place]!) as [Event, Event]
      const swapped = events.with(places[0]!, second).with(places[1]!, first)
      return { id: ids[0]!, events: swapped }
    },
  },
  invent: {
    kind: 'invented',
    apply: ({ events }, at) => {
      const place = at % (events.length + 1)
      return { id: 'x', events: events.toSpliced(place, 0, event('ok', 'effect', 'x')) }
    },
  },
  raise: {
    kind: 'ghost',
    apply: ({ events }) => ({ id: 'r', events: [...events, ...delivered('r', 3)] }),
  },
  alter: {
    kind: 'altered',
    apply: ({ events, ids }, at) => {
      const id = ids[at % ids.length]!
      return {
        id,
        events: events.map((one) => (one.id === id && one.f === 'wire' ? { ...one, hash: 'other' } : one)),
      }
    },
  },
}

test.each(Object.entries(mutations))(
  '%s: one mutation of a valid history is named exactly',
  (_, { kind, apply }) => {
    fc.assert(
      fc.property(validRun, fc.nat({ max: 100 }), (run, at) => {
        expect(named(history(run.events))).toEqual([])
        const { events, id } = apply(run, at)
        expect(named(history(events))).toEqual([`${kind} ${id}`])
      }),
    )
  },
)

test('every kind of anomaly but the vacuous is found by some case above', () => {
  const found = new Set(
    [
      [...m1, ...written('m2', 2)],
      [...m1, event('ok', 'effect', 'm1')],
      [...m1, event('ok', 'handle', 'm1'), event('ok', 'wire', 'm1')],
      [...written('m1', 1), ...written('m2', 2), ...delivered('m2', 2), ...delivered('m1', 1)],
      [...rolledBack, ...delivered('r', 3), event('ok', 'effect', 'x'), event('ok', 'dead', 'r')],
      [...m1, event('ok', 'wire', 'm1', { hash: 'other' })],
      [],
    ].flatMap((events) => named(history(events)).map((name) => name.split(' ')[0])),
  )
  expect([...anomalyKinds].filter((kind) => !found.has(kind))).toEqual([])
})
