import type { RevivedState } from '../testing.ts'

export type Phase = 'starting' | 'baseline' | 'faults' | 'draining' | 'judging' | 'over'

/** What somebody who watches gets to see, several times a second. */
export interface ProofView {
  readonly phase: Phase
  /** In effect now. */
  readonly fault: string | null
  readonly elapsedSeconds: number
  readonly seconds: number
  readonly processes: readonly RevivedState[]
  /** Faults that are over. */
  readonly faults: number
  readonly committed: number
  readonly effects: number
  /** In the outbox. */
  readonly waiting: number
  /** Age of the oldest of them. */
  readonly lagMs: number
}
