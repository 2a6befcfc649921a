import { type CheckResult, cleanLogs, type Verdict } from '../testing.ts'
import type { Memory } from './memory.ts'
import { isInjected, type Row } from './rows.ts'
import { type Waiting, waiting } from './waiting.ts'

export interface ProofReport {
  readonly verdict: Verdict
  readonly seed: number
  readonly rows: readonly Row[]
  /** What processes said that they must not say. */
  readonly logs: CheckResult
  readonly seconds: number
  readonly memory: readonly Memory[]
  /** What this run did not see, though no row says so. */
  readonly unseen: readonly string[]
  /** What no run can show yet. */
  readonly waiting: readonly Waiting[]
  /** Where the merged history of a run stands in which something did not hold: a line of JSON for each event. */
  readonly history: string | null
}

/** Fewer faults that have hit something show nothing. */
const fewestFaults = 3

export function reportOf(course: {
  readonly seed: number
  readonly seconds: number
  readonly rows: readonly Row[]
  readonly memory: readonly Memory[]
  readonly unseen: readonly string[]
  readonly said: Readonly<Record<string, readonly string[]>>
  readonly secrets: readonly string[]
}): Omit<ProofReport, 'history'> {
  const { seed, seconds, rows, memory, unseen, said, secrets } = course
  const logs = cleanLogs(said, { secrets })
  return { verdict: verdictOf(rows, logs), seed, rows, logs, seconds, memory, unseen, waiting }
}

function verdictOf(rows: readonly Row[], logs: CheckResult): Verdict {
  const ran = rows.filter(({ verdict }) => verdict !== 'not-run')
  if (logs.anomalies.length > 0 || ran.some(({ verdict }) => verdict === 'invalid')) return 'invalid'
  const fired = new Set(
    ran.filter(({ fault, verdict }) => isInjected(fault) && verdict === 'valid').map(({ fault }) => fault),
  )
  if (fired.size < fewestFaults || ran.some(({ verdict }) => verdict === 'unknown')) return 'unknown'
  return 'valid'
}
