import type { HistoryEvent, HistoryOperation } from '../history.ts'
import type { Anomaly, CheckResult } from './verdict.ts'
import { doneOf, writesOf } from './writes.ts'

/**
 * First occurrences of a key's messages follow its commit order. A later copy of an older message is none of this checker's
 * business: it must have no effect, and the ledger tells.
 */
export function perKeyOrder(history: readonly HistoryEvent[], f: HistoryOperation = 'effect'): CheckResult {
  const writes = writesOf(history)
  const seen = new Set<string>()
  const highest = new Map<string, { readonly seq: number; readonly id: string }>()
  const anomalies: Anomaly[] = []
  let checked = 0
  for (const event of doneOf(history, f)) {
    const key = event.key ?? writes.get(event.id)?.key ?? null
    const seq = event.seq ?? writes.get(event.id)?.seq ?? null
    if (key === null || seq === null || seen.has(event.id)) continue
    seen.add(event.id)
    checked++
    const top = highest.get(key)
    if (top !== undefined && seq < top.seq) {
      const detail = `number ${seq} of its key first seen after number ${top.seq} (${top.id})`
      anomalies.push({ kind: 'out-of-order', id: event.id, detail, other: top.id })
    } else highest.set(key, { seq, id: event.id })
  }
  return { checker: 'perKeyOrder', checked, anomalies }
}
