import type { HistoryEvent } from '../history.ts'
import type { Anomaly, CheckResult } from './verdict.ts'
import { countById, doneOf, writesOf } from './writes.ts'

/**
 * The ledger that handlers write in their own transaction: one effect for each committed message that is not dead, none for
 * any other, at most one where the outcome is unknown.
 */
export function effectLedger(history: readonly HistoryEvent[]): CheckResult {
  const writes = writesOf(history)
  const effects = countById(doneOf(history, 'effect'))
  const dead = new Set(doneOf(history, 'dead').map(({ id }) => id))
  const anomalies: Anomaly[] = []
  let checked = 0
  for (const [id, { outcome }] of writes) {
    const count = effects.get(id) ?? 0
    if (outcome === 'committed') {
      checked++
      if (count === 0 && !dead.has(id))
        anomalies.push({ kind: 'lost', id, detail: 'committed, without effect' })
    }
    if (outcome !== 'rolled-back' && count > 1)
      anomalies.push({ kind: 'duplicated', id, detail: `${count} effects` })
  }
  for (const [id, count] of effects) {
    if (!writes.has(id)) anomalies.push({ kind: 'invented', id, detail: `${count} effects, never attempted` })
  }
  return { checker: 'effectLedger', checked, anomalies }
}

/** A1: what rolled back is on no wire, in no handler and in no ledger. */
export function ghosts(history: readonly HistoryEvent[]): CheckResult {
  const rolledBack = new Set(
    [...writesOf(history)].filter(([, { outcome }]) => outcome === 'rolled-back').map(([id]) => id),
  )
  const seen = new Map<string, string>()
  for (const { id, f, type } of history) {
    // A handler that only began has seen it as well.
    if (id === null || f === 'write' || f === 'fault' || type === 'info') continue
    if (rolledBack.has(id)) seen.set(id, f)
  }
  const anomalies = [...seen].map(([id, f]): Anomaly => ({
    kind: 'ghost',
    id,
    detail: `rolled back, seen by ${f}`,
  }))
  return { checker: 'ghosts', checked: rolledBack.size, anomalies }
}

/** A2: wherever a message is seen with a hash, it is the hash it was written with. */
export function bytesEqual(history: readonly HistoryEvent[]): CheckResult {
  const writes = writesOf(history)
  const altered = new Map<string, string>()
  let checked = 0
  for (const { id, f, hash } of history) {
    if (id === null || f === 'write' || hash === undefined) continue
    const written = writes.get(id)?.hash
    if (written === undefined) continue
    checked++
    if (written !== hash) altered.set(id, f)
  }
  const anomalies = [...altered].map(([id, f]): Anomaly => ({
    kind: 'altered',
    id,
    detail: `its bytes at ${f} are not those that were written`,
  }))
  return { checker: 'bytesEqual', checked, anomalies }
}
