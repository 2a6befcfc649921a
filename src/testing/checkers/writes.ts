import type { HistoryEvent, HistoryOperation } from '../history.ts'

/** `committed` and `rolled-back` are known; `unknown` was begun, and nobody learned its end. */
type WriteOutcome = 'committed' | 'rolled-back' | 'unknown'

export interface Write {
  readonly outcome: WriteOutcome
  readonly key: string | null
  readonly seq: number | null
  readonly hash: string | undefined
  /** When it was begun, as far as the history tells. */
  readonly from: number
}

const outcomes = { invoke: 'unknown', info: 'unknown', ok: 'committed', fail: 'rolled-back' } as const

/**
 * Every attempted message with what is known of its transaction. A definite end stands against an indefinite one, in
 * whatever order they were noted: an unknown commit may be looked up later.
 */
export function writesOf(history: readonly HistoryEvent[]): ReadonlyMap<string, Write> {
  const writes = new Map<string, Write>()
  for (const event of history) {
    if (event.f !== 'write' || event.id === null) continue
    const before = writes.get(event.id)
    const outcome = outcomes[event.type]
    writes.set(event.id, {
      outcome: outcome === 'unknown' ? (before?.outcome ?? 'unknown') : outcome,
      key: event.key ?? before?.key ?? null,
      seq: event.seq ?? before?.seq ?? null,
      hash: event.hash ?? before?.hash,
      from: Math.min(event.t, before?.from ?? event.t),
    })
  }
  return writes
}

/** What is known to have happened to messages: events of these operations with `ok`, in the history's order. */
export function doneOf(
  history: readonly HistoryEvent[],
  ...operations: readonly HistoryOperation[]
): readonly (HistoryEvent & { readonly id: string })[] {
  return history.filter(
    (event): event is HistoryEvent & { readonly id: string } =>
      event.type === 'ok' && event.id !== null && operations.includes(event.f),
  )
}

export function countById(events: readonly { readonly id: string }[]): ReadonlyMap<string, number> {
  const counts = new Map<string, number>()
  for (const { id } of events) counts.set(id, (counts.get(id) ?? 0) + 1)
  return counts
}
