import fc from 'fast-check'

/** One move of the schedule. `a` and `b` pick who, which and how; a move that does not apply is none. */
export interface Step {
  readonly do: StepName
  readonly a: number
  readonly b: number
}

const weights = {
  insert: 14,
  commit: 10,
  rollBack: 2,
  prepare: 1,
  finishPrepared: 1,
  progress: 40,
  run: 16,
  tick: 8,
  claim: 4,
  renew: 3,
  wake: 2,
  steal: 1,
  drain: 1,
  kill: 1,
  unblock: 2,
  replay: 2,
  settleElsewhere: 1,
  replicate: 2,
  failOver: 1,
  promote: 1,
  channelDown: 1,
  channelUp: 2,
  straggle: 2,
}

export type StepName = keyof typeof weights

export interface Run {
  readonly relays: number
  readonly partitions: number
  readonly ordersBatch: boolean
  /** Retries so far away that a failing message fails all through the first part of the healing. */
  readonly isRetryFar: boolean
  readonly allows: { readonly poison: boolean; readonly takeOver: boolean; readonly failOver: boolean; readonly outage: boolean }
  readonly luck: number
  readonly steps: readonly Step[]
}

const pick = fc.nat({ max: 9999 })
const names = fc.oneof(
  ...Object.entries(weights).map(([name, weight]) => ({ weight, arbitrary: fc.constant(name as StepName) })),
)

export const runs: fc.Arbitrary<Run> = fc.record({
  relays: fc.integer({ min: 1, max: 2 }),
  partitions: fc.integer({ min: 2, max: 3 }),
  ordersBatch: fc.boolean(),
  isRetryFar: fc.boolean(),
  allows: fc.record({ poison: fc.boolean(), takeOver: fc.boolean(), failOver: fc.boolean(), outage: fc.boolean() }),
  luck: fc.nat({ max: 0x7fffffff }),
  steps: fc.array(fc.record({ do: names, a: pick, b: pick }), { minLength: 40, maxLength: 150, size: 'max' }),
})
