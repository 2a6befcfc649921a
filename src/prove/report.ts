import { type Anomaly, type CheckResult, cleanLogs, steadyMemory, type Verdict } from '../testing.ts'
import type { Memory } from './memory.ts'
import { isInjected, noTime, type Row } from './rows.ts'
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
  /** Where what its processes said stands: name, number of the line, line. */
  readonly said: string | null
}

/** What says nothing of whose statement it was. */
const unhandled = /[Uu]nhandled ?[Rr]ejection|[Uu]ncaught ?[Ee]xception/u

/** Fewer faults that have hit something show nothing. */
const fewestFaults = 3

export function reportOf(course: {
  readonly seed: number
  readonly seconds: number
  readonly rows: readonly Row[]
  readonly memory: readonly Memory[]
  readonly said: Readonly<Record<string, readonly string[]>>
  /** How processes ended by themselves while they were at work. */
  readonly exits: Readonly<Record<string, readonly string[]>>
  readonly secrets: readonly string[]
  /** Whether handlers of the user's said some of it. They may tell of an error of their database, which calls it FATAL. */
  readonly handlersSpeak?: boolean
}): Omit<ProofReport, 'history' | 'said'> {
  const { seed, seconds, rows, memory, said, exits, secrets, handlersSpeak = false } = course
  const clean = cleanLogs(said, { secrets, ...(handlersSpeak ? { forbidden: unhandled } : {}) })
  const ended = Object.entries(exits).flatMap(([id, hows]) => hows.map((how) => ({ id, how })))
  // A handler of the user's may end its process on purpose, or keep what it likes, and what holds then holds.
  const own = handlersSpeak ? [] : [...ended.map(crashed), ...grownOf(memory, seconds)]
  const logs = { ...clean, anomalies: [...clean.anomalies, ...own] }
  const told = handlersSpeak ? ended.map(({ id, how }) => `The process ${id} ended by itself (${how}).`) : []
  const verdict = verdictOf(rows, logs)
  const fired = firedOf(rows)
  const few =
    verdict === 'unknown' && fired < fewestFaults
      ? [
          `Only ${fired} of the faults showed that something holds; fewer than ${fewestFaults} show nothing. ` +
            (hadNoTime(rows)
              ? 'More --seconds have time for more.'
              : 'More classes of --faults have more of them, and so do servers that the run starts itself.'),
        ]
      : []
  return { verdict, seed, rows, logs, seconds, memory, unseen: [...told, ...few], waiting }
}

function crashed({ id, how }: { readonly id: string; readonly how: string }): Anomaly {
  return { kind: 'crashed', id, detail: `it ended by itself while it was at work (${how})` }
}

/** Shorter runs are over before a process has all it needs. */
const leastSeconds = 600

/** A life lasts minutes here, for everything is killed in its turn: it shows what grows within them. */
function grownOf(memory: readonly Memory[], seconds: number): readonly Anomaly[] {
  return seconds < leastSeconds ? [] : steadyMemory(memory).anomalies
}

function hadNoTime(rows: readonly Row[]): boolean {
  return rows.some(({ verdict, anomalies }) => verdict === 'not-run' && anomalies[0]?.detail === noTime)
}

function verdictOf(rows: readonly Row[], logs: CheckResult): Verdict {
  const ran = rows.filter(({ verdict }) => verdict !== 'not-run')
  if (logs.anomalies.length > 0 || ran.some(({ verdict }) => verdict === 'invalid')) return 'invalid'
  if (firedOf(rows) < fewestFaults || ran.some(({ verdict }) => verdict === 'unknown')) return 'unknown'
  return 'valid'
}

/** Faults that hit something which held. */
function firedOf(rows: readonly Row[]): number {
  const fired = rows.filter(({ fault, verdict }) => isInjected(fault) && verdict === 'valid')
  return new Set(fired.map(({ fault }) => fault)).size
}
