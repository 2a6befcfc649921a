import fc from 'fast-check'
import type { PoisonPolicy } from '../../src/guarantees/plan.ts'
import type { ChannelRules } from '../../src/relay/mind/types.ts'

/** One move of the schedule. `a` and `b` pick who, which and how; a move that does not apply is none. */
export interface Step {
  readonly do: StepName
  readonly a: number
  readonly b: number
}

const weights = {
  insert: 34,
  commit: 22,
  rollBack: 2,
  prepare: 1,
  finishPrepared: 2,
  progress: 90,
  run: 36,
  tick: 20,
  claim: 8,
  renew: 8,
  wake: 4,
  steal: 1,
  drain: 1,
  kill: 1,
  unblock: 8,
  skipHead: 2,
  replay: 3,
  replayKey: 4,
  purgeKey: 1,
  settleElsewhere: 1,
  replicate: 4,
  failOver: 2,
  promote: 2,
  channelDown: 1,
  channelUp: 4,
  straggle: 4,
  setClock: 2,
}

export type StepName = keyof typeof weights

export type ChannelName = 'orders' | 'bills' | 'views'

export interface Run {
  readonly relays: number
  readonly partitions: number
  readonly ordersBatch: boolean
  /** Retries so far away that a failing message fails all through the first part of the healing. */
  readonly isRetryFar: boolean
  /** By channel. */
  readonly forms: Readonly<Record<ChannelName, ChannelRules['form']>>
  /** Of channels with order. */
  readonly policies: Readonly<Record<'orders' | 'bills', PoisonPolicy>>
  /** Of all channels; `null`: without end. */
  readonly expiresAfterMs: number | null
  readonly allows: {
    readonly poison: boolean
    readonly takeOver: boolean
    readonly failOver: boolean
    readonly outage: boolean
  }
  /** Calls of this kind end only when a step picks them: what is slow for long is overtaken by everything else. */
  readonly slow: 'read' | 'send' | 'remove' | 'write' | 'take' | 'fence' | 'none'
  readonly luck: number
  readonly steps: readonly Step[]
}

const pick = fc.nat({ max: 9999 })
const form = fc.constantFrom<ChannelRules['form'][]>('confirm', 'confirm', 'take', 'fence')
const policy = fc.constantFrom<PoisonPolicy[]>('block', 'park', 'park', 'skip')
const names = fc.oneof(
  ...Object.entries(weights).map(([name, weight]) => ({ weight, arbitrary: fc.constant(name as StepName) })),
)

// Without bias: small values would be the same few moves again and again, and short schedules meet nothing.
export const runs: fc.Arbitrary<Run> = fc.noBias(
  fc.record({
    relays: fc.integer({ min: 1, max: 2 }),
    partitions: fc.integer({ min: 2, max: 3 }),
    ordersBatch: fc.boolean(),
    isRetryFar: fc.boolean(),
    forms: fc.record({ orders: form, bills: form, views: form }),
    policies: fc.record({ orders: policy, bills: policy }),
    expiresAfterMs: fc.constantFrom(null, null, null, 60, 500, 3000),
    allows: fc.record({
      poison: fc.boolean(),
      takeOver: fc.boolean(),
      failOver: fc.boolean(),
      outage: fc.boolean(),
    }),
    slow: fc.constantFrom('read', 'send', 'remove', 'write', 'take', 'fence', 'none'),
    luck: fc.nat({ max: 0x7fffffff }),
    steps: fc.array(fc.record({ do: names, a: pick, b: pick }), {
      minLength: 1,
      maxLength: 300,
      size: 'max',
    }),
  }),
)
