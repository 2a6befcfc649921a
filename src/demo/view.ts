import type { ProcessState } from './processes.ts'
import type { LeftOut } from './settings.ts'
import type { Statistics } from './statistics.ts'

export type Phase = 'starting' | 'running' | 'draining' | 'judging'

/** What somebody who watches the demo gets to see, several times a second. */
export interface DemoView extends Statistics {
  readonly phase: Phase
  /** Of the time in which orders are placed. */
  readonly elapsedSeconds: number
  readonly seconds: number
  readonly kills: number
  readonly duplicatesSuppressed: number
  readonly processes: readonly ProcessState[]
  /** Who was killed last. */
  readonly lastKilled: string | null
}

/** The outcome; its first fields are what `--json` prints. */
export interface DemoReport {
  /** Committed. */
  readonly orders: number
  readonly rolledBack: number
  readonly shipments: number
  readonly lost: number
  readonly duplicated: number
  readonly ghosts: number
  readonly outOfOrder: number
  /** Child processes that ended by SIGKILL. */
  readonly kills: number
  readonly duplicatesSuppressed: number
  /** Committed ones, over the time in which they were placed. */
  readonly ordersPerSecond: number
  readonly verdict: 'valid' | 'invalid'
  /** Why it is invalid. */
  readonly reasons: readonly string[]
  readonly killed: Readonly<Record<string, number>>
  readonly transport: 'local' | 'kafka'
  readonly without: LeftOut | null
  readonly seconds: number
  readonly drainSeconds: number
  readonly seed: number
}
