import { WaybillError } from '../kernel/errors.ts'
import type { Message } from '../kernel/message.ts'
import type { BatchContext, BatchHandler, Handler, HandlerContext, HandlerEntry } from './handler.ts'

/**
 * Stands around a handler: does something before and after it, or throws to fail the message. It calls `next` once; where it
 * does not, the handler does not run and the message counts as handled. What the handler throws fails the message, also where
 * a middleware forgets to await it or catches it: it can only put another error in its place.
 */
export type ConsumeMiddleware<Given = Message, Context = HandlerContext> = (
  given: Given,
  context: Context,
  next: () => Promise<void>,
) => Promise<void> | void

export type EntryOptions = Pick<HandlerEntry, 'channel' | 'form' | 'timeoutMs' | 'concurrency'>

/** How a handler was registered. */
export type EntryHandler =
  | {
      readonly batch?: false
      readonly handler: Handler
      /** The first is the outermost. */
      readonly middleware?: readonly ConsumeMiddleware[]
    }
  | {
      readonly batch: true
      readonly handler: BatchHandler
      readonly middleware?: readonly ConsumeMiddleware<readonly Message[], BatchContext>[]
    }

/** The entry of a channel: its handler with the middleware around it. */
export function createEntry(options: EntryOptions, given: EntryHandler): HandlerEntry {
  if (given.batch !== true) {
    return { ...options, handle: around(given.middleware ?? [], given.handler) }
  }
  const handleAll = around(given.middleware ?? [], given.handler)
  return {
    ...options,
    handleAll,
    handle: (message, { idempotencyKey, ...context }) =>
      handleAll([message], { ...context, idempotencyKeys: [idempotencyKey] }),
  }
}

/** A handler with middleware around it, the first outermost. */
export function around<Given, Context>(
  middleware: readonly ConsumeMiddleware<Given, Context>[],
  handler: (given: Given, context: Context) => Promise<void> | void,
): (given: Given, context: Context) => Promise<void> | void {
  if (middleware.length === 0) return (given, context) => handler(given, context)
  return async (given, context) => {
    const run = async (index: number): Promise<void> => {
      const each = middleware[index]
      if (each === undefined) return await handler(given, context)
      const inner: Promise<void>[] = []
      const next = (): Promise<void> => {
        if (inner.length > 0) throw calledTwice()
        inner.push(run(index + 1))
        return inner[0]!
      }
      try {
        await each(given, context, next)
      } finally {
        // The transaction may not end while the handler is still at work in it.
        await Promise.allSettled(inner)
      }
      await inner[0]
    }
    await run(0)
  }
}

function calledTwice(): WaybillError {
  return new WaybillError('WB_HANDLER_FAILED', 'A middleware called next() twice: a handler runs once.')
}
