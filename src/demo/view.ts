import type { ProcessState } from './processes.ts'
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
