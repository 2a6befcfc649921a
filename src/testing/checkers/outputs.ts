import type { HistoryEvent } from '../history.ts'
import type { Anomaly, CheckResult } from './verdict.ts'
import { countById, doneOf } from './writes.ts'

/**
 * State and output agree: a message that had its effect has as many output messages as its handler publishes, and one that had none
 * has none. Outputs are told by the id of the message they came of, whatever their own is; copies of one output count once.
 */
export function stateAndOutput(history: readonly HistoryEvent[], perEffect = 1): CheckResult {
  const effects = countById(doneOf(history, 'effect'))
  const outputs = new Map<string, Set<string>>()
  for (const { id, of } of doneOf(history, 'output')) {
    if (of !== undefined) outputs.set(of, (outputs.get(of) ?? new Set()).add(id))
  }
  const anomalies: Anomaly[] = []
  for (const id of new Set([...effects.keys(), ...outputs.keys()])) {
    const wanted = (effects.get(id) ?? 0) * perEffect
    const found = outputs.get(id)?.size ?? 0
    if (found !== wanted)
      anomalies.push({ kind: 'split', id, detail: `${found} outputs, ${wanted} by its effects` })
  }
  return { checker: 'stateAndOutput', checked: effects.size, anomalies }
}
