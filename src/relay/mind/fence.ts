import type { DeliveredRow, FencedState } from '../../ports/outbox.ts'
import type { Fate, TakenOver } from '../../ports/transport.ts'
import type { Underway } from './verdicts.ts'

/**
 * `takeOver` at the broker, then `compare` with the store · `remove` the rows of a committed transaction · `ready` for the next
 * one · `publish` · `doubtful`: what broker and store say does not fit, and the lease may be another's · `stopped`: it is ours,
 * so an operator has to look · `lost`: a successor has fenced us, and the lease is given up.
 */
export type FenceStage =
  | 'takeOver'
  | 'compare'
  | 'remove'
  | 'ready'
  | 'publish'
  | 'doubtful'
  | 'stopped'
  | 'lost'

export interface FencedBatch extends Underway {
  readonly number: bigint
}

/** The exactly-once side of a partition (PROTOCOLS 6). */
export interface Fence {
  stage: FenceStage
  /** The one call under way. */
  call: number | null
  /** No call before this. */
  tryAt: number
  failures: number
  /** Rows of reads issued before this one are passed by: they may be in the log already. */
  acceptsFromRead: number
  /** The server has changed: what was compared with it proves nothing. */
  isOutdated: boolean
  found: TakenOver | null
  /** Of the last transaction whose rows were deleted. */
  number: bigint
  /** Being published, or with an unknown outcome, or committed and being removed. */
  batch: FencedBatch | null
  /** What was said in place of an answer to its commit. */
  doubt: Fate | null
  removal: { readonly number: bigint; readonly rows: readonly DeliveredRow[] } | null
  /** Renewals that found the lease to be ours since it became doubtful. */
  renewals: number
  reason: string
}

export function newFence(): Fence {
  return {
    stage: 'takeOver',
    call: null,
    tryAt: 0,
    failures: 0,
    acceptsFromRead: Number.POSITIVE_INFINITY,
    isOutdated: false,
    found: null,
    number: 0n,
    batch: null,
    doubt: null,
    removal: null,
    renewals: 0,
    reason: '',
  }
}

/**
 * `equal`: nothing is left to do · `ahead`: by the one transaction whose rows were not deleted any more · otherwise why no
 * transaction may follow, in a sentence.
 */
export function compare(
  { last, lineage }: TakenOver,
  store: FencedState,
  epoch: bigint,
): 'equal' | 'ahead' | { readonly reason: string } {
  const found = last === null ? 'none' : `number ${last.number} of epoch ${last.epoch}`
  if (store.lineage !== null && store.lineage !== lineage) {
    return {
      reason: `the broker's last transaction is ${found}, kept in ${lineage}, and the store's was noted in ${store.lineage}`,
    }
  }
  if (last === null) {
    if (store.number === 0n) return 'equal'
    return { reason: `the broker has no note of it, and the store knows of ${store.number} transactions` }
  }
  if (last.epoch > epoch) {
    return {
      reason: `the broker's last transaction is ${found}, newer than the lease's own epoch ${epoch}`,
    }
  }
  if (last.number === store.number) return 'equal'
  if (last.number === store.number + 1n) return 'ahead'
  return {
    reason: `the broker's last transaction is ${found}, and the store's is number ${store.number}`,
  }
}
