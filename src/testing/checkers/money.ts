import type { HistoryEvent } from '../history.ts'
import type { Anomaly, CheckResult } from './verdict.ts'

/**
 * Money is moved, never made: each reading of the sum of all accounts, by a reader that locks them, is the sum they began with. What
 * is under way between two databases is a part of the sum.
 */
export function conservation(history: readonly HistoryEvent[], expected: number): CheckResult {
  const anomalies: Anomaly[] = []
  let checked = 0
  for (const { f, type, value, key } of history) {
    if (f !== 'reading' || type !== 'ok' || value === undefined) continue
    checked++
    if (value !== expected)
      anomalies.push({
        kind: 'unbalanced',
        id: key ?? 'sum',
        detail: `${value} in all, ${expected} at the start`,
      })
  }
  return { checker: 'conservation', checked, anomalies }
}
