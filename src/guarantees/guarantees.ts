import { WaybillError } from '../kernel/errors.ts'
import { didYouMean } from '../kernel/suggest.ts'

/** What a channel promises about each of its messages. */
export type Guarantee = 'at-most-once' | 'at-least-once' | 'effectively-once' | 'exactly-once'

export interface GuaranteeTerms {
  readonly promise: string
  /** What may still happen to a message although the promise is kept. */
  readonly mayStillHappen: string
  readonly isSupported: boolean
  /** Of those supported, the one that promises at least as much; itself where it is supported. */
  readonly nearest: Guarantee
}

/** The four guarantees, weakest first. */
export const guaranteeTerms: Readonly<Record<Guarantee, GuaranteeTerms>> = {
  'at-most-once': {
    promise: 'A message is handled once or not at all, never twice.',
    mayStillHappen:
      'A fault between taking a message and handling it loses the message; the loss is counted where it can be seen.',
    isSupported: false,
    nearest: 'at-least-once',
  },
  'at-least-once': {
    promise: 'Every committed message is handled, or kept as a dead letter with its cause.',
    mayStillHappen: 'A message may be handled again: at most once more for each fault.',
    isSupported: true,
    nearest: 'at-least-once',
  },
  'effectively-once': {
    promise: 'As at-least-once, with handlers that have been shown to be idempotent: many runs, one effect.',
    mayStillHappen: 'A handler may run again on a message whose effect is there already.',
    isSupported: false,
    nearest: 'exactly-once',
  },
  'exactly-once': {
    promise:
      'Every committed message has its effect in the database exactly once: inbox row, effect and published messages commit together.',
    mayStillHappen:
      'Effects outside the transaction (mail, HTTP calls) are not covered: they repeat when a handler is run again.',
    isSupported: true,
    nearest: 'exactly-once',
  },
}

const names = Object.keys(guaranteeTerms) as readonly Guarantee[]

/**
 * `value` as a guarantee that holds today for `channel`. Throws `WB_INVALID_OPTION` where it is no guarantee and
 * `WB_GUARANTEE_UNSUPPORTED`, with the nearest choice, where it is one that cannot be kept yet.
 */
export function checkGuarantee(value: unknown, channel: string): Guarantee {
  const guarantee = names.find((name) => name === value)
  if (guarantee === undefined) {
    throw new WaybillError(
      'WB_INVALID_OPTION',
      `Channel "${channel}": "${String(value)}" is not a guarantee; use one of ${names.join(', ')}.` +
        didYouMean(String(value), names),
    )
  }
  const terms = guaranteeTerms[guarantee]
  if (!terms.isSupported) {
    throw new WaybillError(
      'WB_GUARANTEE_UNSUPPORTED',
      `Channel "${channel}" asks for ${guarantee}, which is not supported yet. ` +
        `The nearest choice is ${terms.nearest}: ${guaranteeTerms[terms.nearest].promise}`,
    )
  }
  return guarantee
}
