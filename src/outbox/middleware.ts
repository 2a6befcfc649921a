import { WaybillError } from '../kernel/errors.ts'
import type { PublishOptions } from './messages.ts'

/** One call of `publish` or `send`, as middleware sees it. */
export interface Publication {
  readonly method: 'publish' | 'send'
  readonly channel: string
  /** What the caller gave: a payload, or `many(…)`; not validated yet. */
  readonly payload: unknown
  readonly options: PublishOptions
}

type Published = string | readonly string[]

/**
 * Stands around every `publish` and `send`: passes the call on with `next`, once, as it is or changed (a header, a default key), or
 * throws to refuse it. It runs inside the caller's transaction, so what it awaits holds that open.
 */
export type PublishMiddleware = (
  publication: Publication,
  next: (publication?: Publication) => Promise<Published>,
) => Promise<Published>

/** Composed, the first one outermost; `last` is the call itself. */
export function throughMiddleware(
  middleware: readonly PublishMiddleware[],
  publication: Publication,
  last: (publication: Publication) => Promise<Published>,
): Promise<Published> {
  const run = async (index: number, current: Publication): Promise<Published> => {
    const each = middleware[index]
    if (each === undefined) return await last(current)
    let isCalled = false
    return await each(current, (next = current) => {
      if (isCalled) return Promise.reject(calledTwice(current.channel))
      isCalled = true
      return run(index + 1, next)
    })
  }
  return run(0, publication)
}

function calledTwice(channel: string): WaybillError {
  return new WaybillError(
    'WB_INVALID_OPTION',
    `A middleware around publish and send called next() twice on channel "${channel}": a call is passed on once.`,
  )
}
