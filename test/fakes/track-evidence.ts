import { rowsOf, type Row, type Spell, type TrackEvidence } from '../../src/prove/rows.ts'
import type { HistoryEvent } from '../../src/testing.ts'
import { event, type Event } from './history.ts'

export const spells: readonly Spell[] = [
  { fault: 'none', from: 0, to: 100, quietAt: 110, hasStruck: true },
  { fault: 'kill relay', from: 200, to: 300, quietAt: 350, hasStruck: true },
  { fault: 'cut', from: 400, to: 500, quietAt: 550, hasStruck: true },
]

export interface Message {
  readonly id: string
  readonly seq: number
  readonly at: number
}

/** Eight messages of one key in each spell, and one in the quiet after it. */
export const messages: readonly Message[] = spells.flatMap(({ from }, spell) =>
  Array.from({ length: 9 }, (_, i) => ({
    id: `m${spell}${i}`,
    seq: spell * 9 + i + 1,
    at: from + 10 * i + (i === 8 ? 50 : 0),
  })),
)

export function at(t: number, one: Event): HistoryEvent {
  return { process: 'p', ...one, t }
}

export function written({ id, seq, at: t }: Message): readonly HistoryEvent[] {
  const rest = { key: 'k', seq, hash: id }
  return [at(t, event('invoke', 'write', id, { key: 'k' })), at(t + 1, event('ok', 'write', id, rest))]
}

export function delivered({ id, seq, at: t }: Message, later = 5): readonly HistoryEvent[] {
  const rest = { key: 'k', seq, hash: id }
  return [
    at(t + later - 1, event('invoke', 'handle', id, rest)),
    at(t + later, event('ok', 'effect', id, rest)),
    at(t + later, event('ok', 'handle', id, rest)),
  ]
}

/** Another rolls back. */
const undone: readonly HistoryEvent[] = [
  at(2, event('invoke', 'write', 'undone', { key: 'k' })),
  at(3, event('fail', 'write', 'undone', { key: 'k' })),
]

export const well: readonly HistoryEvent[] = [
  ...messages.flatMap((message) => [...written(message), ...delivered(message)]),
  ...undone,
]

export function rows(
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
export function evidence(
  guarantee: TrackEvidence['guarantee'],
  history: readonly HistoryEvent[],
): TrackEvidence {
  const others = history.filter(({ id }) => id !== 'undone')
  const sorted = [...others, ...undone].sort((a, b) => a.t - b.t)
  return { guarantee, way: null, history: sorted, readings: [], money: 0, hasFollow: false }
}

export function verdicts(found: readonly Row[]): readonly string[] {
  return found.map(({ verdict }) => verdict)
}
