import { WaybillError } from '../kernel/errors.ts'
import type { Delay } from '../ports/outbox-writer.ts'
import type { SomeChannel } from './channel.ts'

/** 366 days. The store refuses a longer delay as well, by its own clock. */
const longestDelayMs = 31_622_400_000

export interface DelayOptions {
  /**
   * Not delivered before this moment, by the database's clock; one that is past delays nothing. At most 366 days ahead. Not on an
   * ordered channel, nor beside `delayMs`.
   * @default as soon as its transaction has committed
   */
  readonly notBefore?: Date
  /**
   * The same, in milliseconds from the moment the database stores the message. At most 366 days.
   * @default 0
   */
  readonly delayMs?: number
}

/** The delay that one call asks for, or `null`. Refuses what could not be kept (W5), before anything is written. */
export function delayOf({ notBefore, delayMs }: DelayOptions, channel: SomeChannel): Delay | null {
  if (notBefore === undefined && delayMs === undefined) return null
  const refuse = (sentence: string): never => {
    throw new WaybillError('WB_INVALID_OPTION', `${sentence} (channel "${channel.name}").`)
  }
  if (notBefore !== undefined && delayMs !== undefined)
    refuse('`notBefore` and `delayMs` say the same thing: give one of them')
  if (channel.ordered) {
    throw new WaybillError(
      'WB_GUARANTEE_UNSUPPORTED',
      `A message of channel "${channel.name}" cannot be delayed: the channel is ordered, and what is published behind it on its ` +
        'key would overtake it. Publish it when it is due, or on a channel with `ordered: false`.',
    )
  }
  if (notBefore === undefined) return { ms: checkedMs(delayMs, refuse) }
  const time = notBefore instanceof Date ? notBefore.getTime() : Number.NaN
  if (Number.isNaN(time) || time > latestTime)
    refuse('`notBefore` must be a Date that is valid, before the year 9999')
  // Long past and just past are the same, and the database reads no year before 1.
  return { at: new Date(Math.max(time, 0)) }
}

const latestTime = Date.UTC(9999, 0)

function checkedMs(delayMs: unknown, refuse: (sentence: string) => never): number {
  if (typeof delayMs === 'number' && delayMs >= 0 && delayMs <= longestDelayMs) return delayMs
  return refuse(`\`delayMs\` must be a number of milliseconds from 0 to ${longestDelayMs} (366 days)`)
}
