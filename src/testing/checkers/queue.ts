import type { HistoryEvent } from '../history.ts'
import type { Anomaly, CheckResult } from './verdict.ts'
import { countById, doneOf, writesOf } from './writes.ts'

export interface QueueResult extends CheckResult {
  /** Committed, and handled to the end. */
  readonly ok: number
  readonly lost: readonly string[]
  /** Handled, and never attempted. */
  readonly unexpected: readonly string[]
  /** Handled to the end more than once. */
  readonly duplicated: readonly string[]
  /** Of unknown outcome, and handled: they had committed. */
  readonly recovered: readonly string[]
}

/** What goes in must come out: every committed message is handled to the end or dead, and nothing else is. */
export function totalQueue(history: readonly HistoryEvent[]): QueueResult {
  const writes = writesOf(history)
  const handled = countById(doneOf(history, 'handle'))
  const given = new Set(doneOf(history, 'dead').map(({ id }) => id))
  const committed = [...writes].filter(([, { outcome }]) => outcome === 'committed').map(([id]) => id)
  const lost = committed.filter((id) => !handled.has(id) && !given.has(id))
  const unexpected = [...handled.keys(), ...given].filter((id) => !writes.has(id))
  const duplicated = [...handled].filter(([, count]) => count > 1).map(([id]) => id)
  const anomalies: Anomaly[] = [
    ...lost.map((id): Anomaly => ({ kind: 'lost', id, detail: 'committed, neither handled nor dead' })),
    ...unexpected.map((id): Anomaly => ({ kind: 'invented', id, detail: 'handled, never attempted' })),
    ...duplicated.map((id): Anomaly => ({
      kind: 'redelivered',
      id,
      detail: `handled ${handled.get(id)} times`,
    })),
  ]
  return {
    checker: 'totalQueue',
    checked: committed.length,
    anomalies,
    ok: committed.filter((id) => handled.has(id)).length,
    lost,
    unexpected,
    duplicated,
    recovered: [...writes]
      .filter(([id, { outcome }]) => outcome === 'unknown' && handled.has(id))
      .map(([id]) => id),
  }
}

/** A3: at the end every committed message is one of delivered, dead, expired or dropped, and only one. */
export function accounted(history: readonly HistoryEvent[]): CheckResult {
  const ends = new Map<string, Set<string>>()
  for (const { id, f } of doneOf(history, 'handle', 'effect', 'dead', 'expired', 'dropped')) {
    const end = f === 'handle' || f === 'effect' ? 'delivered' : f
    ends.set(id, (ends.get(id) ?? new Set()).add(end))
  }
  const anomalies: Anomaly[] = []
  let checked = 0
  for (const [id, { outcome }] of writesOf(history)) {
    const found = [...(ends.get(id) ?? [])]
    if (outcome === 'committed') {
      checked++
      if (found.length === 0) anomalies.push({ kind: 'lost', id, detail: 'committed, and no end is known' })
    }
    if (found.length > 1) anomalies.push({ kind: 'contradicted', id, detail: found.join(' and ') })
  }
  return { checker: 'accounted', checked, anomalies }
}
