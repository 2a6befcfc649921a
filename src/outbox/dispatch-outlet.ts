import type { Dispatcher, Dispatch, OutboundMessage } from '../ports/transport.ts'
import type { Outlet } from './send.ts'

export interface DispatchOutletOptions {
  readonly open: () => Promise<Dispatcher>
  readonly timeoutMs: number
  /** Called for each message that certainly did not leave. */
  readonly onDropped: (message: OutboundMessage, dropped: Extract<Dispatch, { outcome: 'dropped' }>) => void
  /** So many messages were handed to the network. */
  readonly onDispatched: (count: number) => void
}

/**
 * At most once: what is sent in one turn of the event loop goes to the dispatcher in one call, once. Nobody waits for more
 * than that, and nothing is tried again.
 */
export function dispatchOutlet(options: DispatchOutletOptions): Outlet {
  let waiting: OutboundMessage[] = []
  let flushing: Promise<void> | undefined

  const flush = async (): Promise<void> => {
    // Later in this turn: calls that are made one after another without awaiting travel together.
    await Promise.resolve()
    const batch = waiting
    waiting = []
    flushing = undefined
    const dispatcher = await options.open()
    const results = await dispatcher.dispatch(batch, options.timeoutMs)
    let dispatched = 0
    for (const [i, result] of results.entries()) {
      if (result.outcome === 'dispatched') dispatched += 1
      else options.onDropped(batch[i]!, result)
    }
    options.onDispatched(dispatched)
  }

  return {
    send(messages) {
      for (const message of messages) waiting.push(message)
      flushing ??= flush()
      return flushing
    },
  }
}
