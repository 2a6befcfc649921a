import type { HistoryEvent } from '../history.ts'
import { faultWindows } from './copies.ts'
import type { Anomaly, CheckResult } from './verdict.ts'
import { writesOf } from './writes.ts'

export interface VacuityLimits {
  /** Committed messages, at least. @default 1 */
  readonly minCommitted?: number
  /** Faults that must have fired, at least. @default 0 */
  readonly minFaults?: number
  /** Whether the drain came to its end before the run did. */
  readonly isDrained: boolean
  /** Messages left in outbox and broker after the drain. */
  readonly pending: number
  /** Things that had to happen at least once in the run, and whether they did. */
  readonly sometimes?: Readonly<Record<string, boolean>>
}

/** A run that did too little, without its fault, or without coming to an end shows nothing: its verdict is `unknown`. */
export function notVacuous(history: readonly HistoryEvent[], limits: VacuityLimits): CheckResult {
  const { minCommitted = 1, minFaults = 0, isDrained, pending, sometimes = {} } = limits
  const committed = [...writesOf(history).values()].filter(({ outcome }) => outcome === 'committed').length
  const faults = faultWindows(history).length
  const anomalies: Anomaly[] = []
  const say = (id: string, detail: string): void => {
    anomalies.push({ kind: 'vacuous', id, detail })
  }
  if (committed < minCommitted) say('committed', `${committed} committed messages, ${minCommitted} wanted`)
  if (faults < minFaults) say('faults', `${faults} faults fired, ${minFaults} wanted`)
  if (!isDrained) say('drain', 'it did not come to its end')
  if (pending !== 0) say('pending', `${pending} messages were left`)
  for (const [name, happened] of Object.entries(sometimes)) if (!happened) say(name, 'it never happened')
  return { checker: 'notVacuous', checked: history.length, anomalies }
}
