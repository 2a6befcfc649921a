import {
  accounted,
  boundedDuplicates,
  bytesEqual,
  type CheckResult,
  conservation,
  contiguous,
  effectLedger,
  fencedWrites,
  ghosts,
  type HistoryEvent,
  notVacuous,
  perKeyOrder,
  singleRuns,
  stateAndOutput,
  totalQueue,
} from '../../src/testing.ts'

export type Event = Omit<HistoryEvent, 'process' | 't'> & Partial<Pick<HistoryEvent, 'process'>>

/** Events at the times 0, 1, 2, … */
export function history(events: readonly Event[]): readonly HistoryEvent[] {
  return events.map((event, t) => ({ process: 'p', ...event, t }))
}

export function event(
  type: HistoryEvent['type'],
  f: HistoryEvent['f'],
  id: string | null,
  rest: Partial<Event> = {},
): Event {
  return { type, f, id, key: null, seq: null, ...rest }
}

export function written(id: string, seq: number, end: 'ok' | 'fail' | 'info' = 'ok'): readonly Event[] {
  const rest = { key: 'k', seq, hash: `hash of ${id}` }
  return [event('invoke', 'write', id, rest), event(end, 'write', id, rest)]
}

/** On the wire, handled, with its effect and the one message that came of it. */
export function delivered(id: string, seq: number): readonly Event[] {
  const rest = { key: 'k', seq, hash: `hash of ${id}` }
  return [
    event('ok', 'wire', id, rest),
    event('invoke', 'handle', id, rest),
    event('ok', 'effect', id, rest),
    event('ok', 'output', `after ${id}`, { of: id }),
    event('ok', 'handle', id, rest),
  ]
}

/** The sum of all accounts, which began with 100. */
export function reading(value: number): Event {
  return event('ok', 'reading', null, { key: 'sum', value })
}

/** From here on this relay has the one partition there is. */
export function leased(process: string, epoch: number): Event {
  return event('ok', 'lease', null, { process, key: 'partition 0', epoch })
}

/** What this relay writes of a row, and how many it changes. */
export function wrote(process: string, f: 'mark' | 'ack', id: string, value: number): readonly Event[] {
  const rest = { process, key: 'partition 0' }
  return [event('invoke', f, id, rest), event('ok', f, id, { ...rest, value })]
}

export const fault: Event = event('info', 'fault', null, { key: 'kill relay' })
export const drained = { isDrained: true, pending: 0 }

export const m1: readonly Event[] = [...written('m1', 1), ...delivered('m1', 1)]
export const m2: readonly Event[] = [...written('m2', 2), ...delivered('m2', 2)]
export const rolledBack: readonly Event[] = written('r', 3, 'fail')

export function checkAll(events: readonly HistoryEvent[]): readonly CheckResult[] {
  return [
    totalQueue(events),
    accounted(events),
    effectLedger(events),
    ghosts(events),
    bytesEqual(events),
    perKeyOrder(events),
    contiguous(events),
    stateAndOutput(events),
    conservation(events, 100),
    boundedDuplicates(events),
    singleRuns(events),
    fencedWrites(events),
    notVacuous(events, drained),
  ]
}

/** What all checkers say, each kind and id once. */
export function named(events: readonly HistoryEvent[]): readonly string[] {
  const all = checkAll(events).flatMap(({ anomalies }) => anomalies.map(({ kind, id }) => `${kind} ${id}`))
  return [...new Set(all)].sort()
}
