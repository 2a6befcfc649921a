import { WaybillError } from '../kernel/errors.ts'
import { didYouMean } from '../kernel/suggest.ts'

/** What a channel promises about each of its messages. */
export type Guarantee = 'at-most-once' | 'at-least-once' | 'effectively-once' | 'exactly-once'

/**
 * What can go wrong with a message or its effect.
 * `lost`: committed, and neither handled nor a dead letter · `copied`: on the wire more than once · `rerun`: its handler ran more
 * than once · `repeated`: its effect in the database is there more than once · `disordered`: after a later one of its key ·
 * `ghost`: handled although its transaction rolled back.
 */
export type Anomaly = 'lost' | 'copied' | 'rerun' | 'repeated' | 'disordered' | 'ghost'

export interface GuaranteeTerms {
  readonly promise: string
  /** What may still happen to a message although the promise is kept, in plain words. */
  readonly mayStillHappen: string
  /** The same for checkers: every anomaly that is not listed makes a history invalid. */
  readonly allowed: readonly Anomaly[]
  readonly useCase: string
}

/** The four guarantees, weakest first. The only table of them: compile, explain, checkers, tests and documentation read it. */
export const guaranteeTerms: Readonly<Record<Guarantee, GuaranteeTerms>> = {
  'at-most-once': {
    promise: 'A message is handled once or not at all, never twice.',
    mayStillHappen:
      'A fault between taking a message and handling it loses the message; the loss is counted where it can be seen.',
    allowed: ['lost'],
    useCase: 'telemetry, presence, cache hints',
  },
  'at-least-once': {
    promise: 'Every committed message is handled, or kept as a dead letter with its cause.',
    mayStillHappen: 'A message may be handled again: at most once more for each fault.',
    allowed: ['copied', 'rerun', 'repeated'],
    useCase: 'notifications, search indexing, anything that bears a repeat',
  },
  'effectively-once': {
    promise: 'As at-least-once, with handlers that have been shown to be idempotent: many runs, one effect.',
    mayStillHappen: 'A handler may run again on a message whose effect is there already.',
    allowed: ['copied', 'rerun'],
    useCase: 'handlers that set a state, or call an API that takes an idempotency key',
  },
  'exactly-once': {
    promise:
      'Every committed message has its effect in the database exactly once: the note of the message, its effect and what the handler published commit together.',
    mayStillHappen:
      'Effects outside the transaction (mail, HTTP calls) are not covered: they repeat when a handler is run again.',
    allowed: ['copied', 'rerun'],
    useCase: 'payments, inventory, balances',
  },
}

export const guarantees = Object.keys(guaranteeTerms) as readonly Guarantee[]

/** `value` as a guarantee. Throws `WB_INVALID_OPTION`, with what was probably meant. */
export function checkGuarantee(value: unknown, channel: string): Guarantee {
  const guarantee = guarantees.find((name) => name === value)
  if (guarantee !== undefined) return guarantee
  throw new WaybillError(
    'WB_INVALID_OPTION',
    `Channel "${channel}": "${String(value)}" is not a guarantee; use one of ${guarantees.join(', ')}.` +
      didYouMean(String(value), guarantees),
  )
}
