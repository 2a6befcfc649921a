import type { BacklogLimit } from '../guarantees/plan.ts'
import { didYouMean } from '../kernel/suggest.ts'

export interface BacklogOptions {
  /**
   * Messages of this channel that may wait in the outbox, due and not delivered. At or over it `publish` refuses with
   * `WB_BACKLOG_FULL`, or warns. Approximate: they are counted about once a second, so some more get in; while they cannot be
   * counted nothing is refused, and that is logged.
   * @default no limit
   */
  readonly maxPending?: number
  /** `refuse`: nothing is published · `warn`: it is, and the log says so. @default 'refuse' */
  readonly whenFull?: BacklogLimit['whenFull']
}

const choices: readonly BacklogLimit['whenFull'][] = ['refuse', 'warn']
const mostPending = 1_000_000_000

/** `undefined` where the channel has no limit. `refuse` throws for what cannot be meant. */
export function backlogLimitOf(
  { maxPending, whenFull, outbox }: BacklogOptions & { readonly outbox: boolean },
  refuse: (sentence: string) => never,
): BacklogLimit | undefined {
  const given: unknown = whenFull
  if (whenFull !== undefined && !choices.includes(whenFull)) {
    refuse(
      `\`whenFull\` is ${JSON.stringify(whenFull)}: use one of ${choices.join(', ')}.` +
        didYouMean(String(given), choices),
    )
  }
  if (maxPending === undefined) {
    if (whenFull !== undefined) refuse('`whenFull` says what happens at `maxPending`: give that too.')
    return undefined
  }
  if (!Number.isSafeInteger(maxPending) || maxPending < 1 || maxPending > mostPending)
    refuse(`\`maxPending\` must be a whole number from 1 to ${mostPending}.`)
  if (!outbox) refuse('`maxPending` is of messages in the outbox, and this channel has none: leave it out.')
  return Object.freeze({ maxPending, whenFull: whenFull ?? 'refuse' })
}
