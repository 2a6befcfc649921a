import fc from 'fast-check'
import { expect, test } from 'vitest'
import {
  delivered,
  event,
  type Event,
  history,
  leased,
  named,
  reading,
  rolledBack,
  written,
  wrote,
} from '../../test/fakes/history.ts'
import type { AnomalyKind } from './checkers.ts'

interface Run {
  readonly events: readonly Event[]
  readonly ids: readonly string[]
}

// Two keys, all committed, each handled in commit order; at least two messages of the key `a`. Whoever sent them writes of them once
// more when another relay has its partition.
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
        ...messages.flatMap((message) => {
          const { key, seq, id } = message
          return delivered(id, seq).map((one) => (one.f === 'output' ? one : { ...one, key }))
        }),
        reading(100),
        ...[leased('p', 1), leased('successor', 2)],
        ...messages.flatMap(({ id }) => [...wrote('p', 'mark', id, 0), ...wrote('p', 'ack', id, 1)]),
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
      return { id, events: events.filter((one) => one.f === 'write' || (one.id !== id && one.of !== id)) }
    },
  },
  duplicate: {
    kind: 'duplicated',
    apply: ({ events, ids }, at) => {
      const id = ids[at % ids.length]!
      // A second run of the handler, whose output is another message.
      const twice = (one: Event): readonly Event[] => {
        if (one.id === id && one.f === 'effect') return [one, one]
        return one.of === id ? [one, { ...one, id: `again ${one.id}` }] : [one]
      }
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
      const invented = [event('ok', 'effect', 'x'), event('ok', 'output', 'after x', { of: 'x' })]
      return { id: 'x', events: events.toSpliced(place, 0, ...invented) }
    },
  },
  raise: {
    kind: 'ghost',
    apply: ({ events }) => ({ id: 'r', events: [...events, ...delivered('r', 3)] }),
  },
  split: {
    kind: 'split',
    apply: ({ events, ids }, at) => {
      const id = ids[at % ids.length]!
      return { id, events: events.filter((one) => one.of !== id) }
    },
  },
  spend: {
    kind: 'unbalanced',
    apply: ({ events }, at) => {
      const changed = at + 1
      return { id: 'sum', events: [...events, reading(100 + changed), reading(100)] }
    },
  },
  haunt: {
    kind: 'unfenced',
    apply: ({ events, ids }, at) => {
      const id = ids[at % ids.length]!
      const isMark = (one: Event): boolean => one.id === id && one.f === 'mark' && one.type === 'ok'
      return { id, events: events.map((one) => (isMark(one) ? { ...one, value: 1 } : one)) }
    },
  },
  guess: {
    kind: 'unfenced',
    apply: ({ events, ids }, at) => {
      const id = ids[at % ids.length]!
      // Confirmed to another relay, and deleted by this one.
      const isWire = (one: Event): boolean => one.id === id && one.f === 'wire'
      return { id, events: events.map((one) => (isWire(one) ? { ...one, process: 'other' } : one)) }
    },
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
