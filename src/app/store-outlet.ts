import type { Clock, Random } from '../kernel/clock.ts'
import {
  CommitOutcomeUnknownError,
  describeError,
  isWaybillError,
  PublishOutcomeUnknownError,
  WaybillError,
} from '../kernel/errors.ts'
import { backoffMs, type Backoff } from '../kernel/retry.ts'
import type { Outlet } from '../outbox/send.ts'
import type { OutboxWriter } from '../ports/outbox-writer.ts'
import type { TransactionRunner } from '../ports/transaction-runner.ts'
import type { OutboundMessage } from '../ports/transport.ts'

export interface StoreOutletOptions {
  readonly writer: OutboxWriter
  readonly transactions: TransactionRunner
  readonly idleTimeoutMs: number
  readonly retry: Backoff
  /** At most once: one try, and what is certainly not there is told here in place of being thrown. */
  readonly onDropped: ((message: OutboundMessage, code: string) => void) | undefined
  /** Written and committed; at most once perhaps, where that is not known. */
  readonly onStored: (count: number) => void
  readonly clock: Clock
  readonly random: Random
}

/**
 * `send()` on a transport without a wire: the message is written into the outbox by a transaction of its own, from where the
 * consumers of this database take it.
 */
export function storeOutlet(options: StoreOutletOptions): Outlet {
  const { writer, transactions, idleTimeoutMs, retry, clock, random } = options
  const store = (messages: readonly OutboundMessage[], signal: AbortSignal): Promise<void> =>
    transactions.run({ idleTimeoutMs, signal }, async (tx) => {
      const channel = messages[0]!.envelope.channel
      await writer.append(
        tx.executor,
        channel,
        messages.map(({ envelope }) => envelope),
        null,
      )
    })

  const givenUp = new AbortController()
  return {
    giveUp: () => {
      givenUp.abort()
    },
    async send(messages, { deadlineMs, signal: own }) {
      const until = clock.now() + deadlineMs
      // Also where a try waits for a connection, or for a key that another transaction holds. At most once there is one, and no deadline.
      const late = AbortSignal.timeout(deadlineMs)
      const ends = [givenUp.signal, ...(own === undefined ? [] : [own])]
      const signal = AbortSignal.any(options.onDropped === undefined ? [...ends, late] : ends)
      let doubt: string | undefined
      for (let failures = 1; ; failures++) {
        try {
          await store(messages, signal)
          options.onStored(messages.length)
          return
        } catch (error) {
          const { code } = describeError(error)
          // Whatever else a transaction ends with, it has rolled back.
          const isUnknown = error instanceof CommitOutcomeUnknownError
          if (options.onDropped !== undefined) {
            // It may be there: then nobody may be told that it is not (A5).
            if (isUnknown) options.onStored(messages.length)
            else for (const message of messages) options.onDropped(message, code)
            return
          }
          if (isUnknown) doubt = code
          if (signal.aborted) throw ended(messages, doubt, late.aborted ? 'WB_TIMED_OUT' : 'WB_ABORTED')
          const mayTryAgain = isWaybillError(error) && error.retryable !== 'no'
          if (!mayTryAgain) throw doubt === undefined ? error : ended(messages, doubt, code)
          const pauseMs = backoffMs(failures, retry, random)
          if (clock.now() + pauseMs < until) await clock.sleep(pauseMs, signal)
          else throw ended(messages, doubt, code)
          if (signal.aborted) throw ended(messages, doubt, code)
        }
      }
    },
  }
}

function ended(messages: readonly OutboundMessage[], doubt: string | undefined, code: string): Error {
  const { id, channel } = messages[0]!.envelope
  if (doubt !== undefined) return new PublishOutcomeUnknownError(id, channel, doubt)
  return new WaybillError(
    'WB_PUBLISH_REJECTED',
    `Message ${id} on channel "${channel}" was not sent: ${code}. Send it again with the same id.`,
    { retryable: 'yes' },
  )
}
