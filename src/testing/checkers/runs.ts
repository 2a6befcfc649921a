import type { HistoryEvent } from '../history.ts'
import type { Anomaly, CheckResult } from './verdict.ts'
import { writesOf } from './writes.ts'

/**
 * Handlers that began, by the notes they made before anything else: more than once on a message is `redelivered`, whatever
 * became of the runs. What at-most-once must never do, and what a run that was rolled back leaves no other trace of.
 */
export function singleRuns(history: readonly HistoryEvent[]): CheckResult {
  const runs = new Map<string, number>()
  for (const { f, type, id } of history) {
    if (f === 'handle' && type === 'invoke' && id !== null) runs.set(id, (runs.get(id) ?? 0) + 1)
  }
  const anomalies: Anomaly[] = []
  for (const [id, count] of runs) {
    if (count > 1) anomalies.push({ kind: 'redelivered', id, detail: `its handler began ${count} times` })
  }
  return { checker: 'singleRuns', checked: Math.min(runs.size, writesOf(history).size), anomalies }
}
