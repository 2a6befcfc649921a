import type { HistoryEvent, HistoryOperation } from '../history.ts'
import type { Anomaly, CheckResult } from './verdict.ts'
import { doneOf, writesOf } from './writes.ts'

interface Window {
  readonly from: number
  readonly to: number
}

/**
 * Copies are bounded: at most one, and one more for each fault that overlaps the message, from its write to its last copy. In
 * a run without faults there are none.
 */
export function boundedDuplicates(
  history: readonly HistoryEvent[],
  f: HistoryOperation = 'wire',
): CheckResult {
  const writes = writesOf(history)
  const faults = faultWindows(history)
  const copies = new Map<string, number[]>()
  for (const { id, t } of doneOf(history, f)) {
    const times = copies.get(id)
    if (times === undefined) copies.set(id, [t])
    else times.push(t)
  }
  const anomalies: Anomaly[] = []
  for (const [id, times] of copies) {
    const from = Math.min(writes.get(id)?.from ?? Infinity, ...times)
    const to = Math.max(...times)
    const overlapping = faults.filter((fault) => fault.from <= to && fault.to >= from).length
    if (times.length <= 1 + overlapping) continue
    anomalies.push({ kind: 'too-many-copies', id, detail: `${times.length} copies, ${overlapping} faults` })
  }
  return { checker: 'boundedDuplicates', checked: copies.size, anomalies }
}

/** Faults in time; one that was never healed lasts for ever. */
export function faultWindows(history: readonly HistoryEvent[]): readonly Window[] {
  const windows: Window[] = []
  const open = new Map<string, number>()
  for (const { f, type, key, t } of history) {
    if (f !== 'fault') continue
    const name = key ?? ''
    const begun = open.get(name)
    if (type === 'info') windows.push({ from: t, to: t })
    else if (type === 'invoke' && begun === undefined) open.set(name, t)
    else if (type === 'ok' && begun !== undefined) {
      open.delete(name)
      windows.push({ from: begun, to: t })
    }
  }
  return [...windows, ...[...open.values()].map((from) => ({ from, to: Infinity }))]
}
