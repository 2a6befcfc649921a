import { isWaybillError, WaybillError } from '../kernel/errors.ts'

// As the brand of errors: the handler's copy of the package may be another one than the consumer's.
const rejects = Symbol.for('waybill.reject-message')
const retriesLater = Symbol.for('waybill.retry-later')

/** The longest pause of a {@link RetryLater}: a week. */
const longestPauseMs = 604_800_000

/**
 * Thrown by a handler: the message can never be handled, so it is not tried again. Its transaction rolls back, and it is given up at
 * once. `reason` is kept with the dead letter: no payload in it, and no secret.
 *
 * @example throw new RejectMessage('the order was cancelled before it was placed')
 */
export class RejectMessage extends WaybillError {
  override readonly name: string = 'RejectMessage'

  constructor(reason: string, options: { readonly cause?: unknown } = {}) {
    super('WB_MESSAGE_REJECTED', reason, options)
    Object.defineProperty(this, rejects, { value: true })
  }
}

/**
 * Thrown by a handler: nothing is wrong with the message, and now is not its time (a rate limit, a service that is down). Its
 * transaction rolls back, and it is tried again after `pauseMs`, by this or another process; its attempts do not grow by it, so it is
 * never given up for that. Where the channel has order, its key waits; other keys go on. At most once nothing is tried again: there
 * the message is lost, as with any other error.
 *
 * @example throw new RetryLater(30_000)
 */
export class RetryLater extends WaybillError {
  override readonly name: string = 'RetryLater'

  /**
   * `pauseMs`: 0 to a week; a broker's consumer that restarts earlier gets the message again then. Left out, the pause grows as after
   * failed attempts. Throws `WB_INVALID_OPTION`.
   */
  constructor(pauseMs?: number, options: { readonly cause?: unknown } = {}) {
    const isPause = pauseMs === undefined || (pauseMs >= 0 && pauseMs <= longestPauseMs)
    if (!isPause) {
      throw new WaybillError(
        'WB_INVALID_OPTION',
        `RetryLater takes 0 to ${longestPauseMs} milliseconds; ${pauseMs} are not.`,
      )
    }
    const when = pauseMs === undefined ? 'later' : `in ${pauseMs} ms`
    super('WB_RETRY_LATER', `The handler asked for the message to be tried again ${when}.`, {
      ...options,
      retryable: 'yes',
    })
    Object.defineProperty(this, retriesLater, { value: pauseMs ?? null })
  }
}

export function isRejection(error: unknown): boolean {
  return valueOf(error, rejects) === true
}

/**
 * `null`: it sets no pause · `undefined`: it asks for nothing of the kind. A handler whose output finds its channel full asks for a
 * pause as well: or a backlog behind it would make dead letters of good messages.
 */
export function pauseOf(error: unknown): number | null | undefined {
  const pause = valueOf(error, retriesLater)
  if (pause === null || typeof pause === 'number') return pause
  return causesOf(error).some((each) => isWaybillError(each) && each.code === 'WB_BACKLOG_FULL')
    ? null
    : undefined
}

function valueOf(error: unknown, name: symbol): unknown {
  const bearer = causesOf(error).find((each) => name in each)
  return (bearer as Record<symbol, unknown> | undefined)?.[name]
}

/** The error itself and what it wraps: a handler, or a library of its, may have wrapped ours. */
function causesOf(error: unknown): object[] {
  const causes: object[] = []
  let current = error
  while (causes.length < 5 && typeof current === 'object' && current !== null) {
    causes.push(current)
    current = (current as { cause?: unknown }).cause
  }
  return causes
}
