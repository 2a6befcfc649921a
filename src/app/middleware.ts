import type { BatchContext } from '../consumer/handler.ts'
import type { ConsumeMiddleware } from '../consumer/handler-entry.ts'
import { WaybillError } from '../kernel/errors.ts'
import type { Message } from '../kernel/message.ts'
import { didYouMean } from '../kernel/suggest.ts'
import type { PublishMiddleware } from '../outbox/middleware.ts'

/** What `use` takes: code that stands around every call of its kind. */
export interface Middleware {
  /** Around each `publish` and `send`. */
  readonly publish?: PublishMiddleware
  /** Around each run of a handler that takes one message. */
  readonly consume?: ConsumeMiddleware
  /** Around each run of a handler with `batch: true`. */
  readonly consumeBatch?: ConsumeMiddleware<readonly Message[], BatchContext>
}

const names = ['publish', 'consume', 'consumeBatch'] as const

/** In the order given: the first is outermost. */
export class MiddlewareStack {
  readonly publish: PublishMiddleware[] = []
  readonly consume: ConsumeMiddleware[] = []
  readonly consumeBatch: ConsumeMiddleware<readonly Message[], BatchContext>[] = []

  /** Throws `WB_INVALID_OPTION` for what is no middleware. */
  add(middleware: Middleware): void {
    if (typeof middleware !== 'object' || middleware === null) {
      throw refusal('use() takes an object: { publish, consume, consumeBatch }, each of them a function.')
    }
    for (const [name, value] of Object.entries(middleware)) {
      if (!names.some((known) => known === name))
        throw refusal(`use(): unknown kind "${name}".${didYouMean(name, names)}`)
      if (value !== undefined && typeof value !== 'function')
        throw refusal(`use(): \`${name}\` must be a function.`)
    }
    if (middleware.publish !== undefined) this.publish.push(middleware.publish)
    if (middleware.consume !== undefined) this.consume.push(middleware.consume)
    if (middleware.consumeBatch !== undefined) this.consumeBatch.push(middleware.consumeBatch)
  }
}

function refusal(message: string): WaybillError {
  return new WaybillError('WB_INVALID_OPTION', message)
}
