import { isWaybillError } from '../kernel/errors.ts'
import type { StartedPublish } from '../outbox/publish.ts'
import { type TransactionRunner, wrapBehind } from '../ports/transaction-runner.ts'

/** Told how a transaction of Waybill's own ended in which something was published. */
export interface PublishedListener {
  committed(channel: string): void
  /** Nobody knows whether it has committed. */
  unknown(channel: string): void
}

/**
 * Publishes that nobody awaited, by the transaction they are in. Not awaiting them is how a transaction is pipelined; but one
 * that was refused would then be missed, and one whose schema is still at work would come after COMMIT. So the transaction
 * ends only when each has been sent or refused, and a refusal rolls it back.
 */
export class PendingPublishes {
  readonly #open = new WeakMap<object, StartedPublish[]>()
  readonly #listener: PublishedListener

  constructor(listener: PublishedListener) {
    this.#listener = listener
  }

  note(started: StartedPublish): void {
    const pending = this.#of(started.transaction)
    if (pending === undefined) return
    // The transaction reports its failure: it must not count as a rejection that nobody handled as well.
    started.done.catch(() => {})
    pending.push(started)
  }

  /** Whether it is a transaction of ours, whose end is told to the listener. */
  isWatched(transaction: unknown): boolean {
    return this.#of(transaction) !== undefined
  }

  watch(runner: TransactionRunner): TransactionRunner {
    return {
      run: async (options, work) => {
        const pending: StartedPublish[] = []
        try {
          const wrapped = wrapBehind(options, (behind) => this.watch(behind))
          const result = await runner.run(wrapped, async (transaction) => {
            const { handle } = transaction
            if (typeof handle !== 'object' || handle === null) return await work(transaction)
            this.#open.set(handle, pending)
            try {
              const ended = await work(transaction)
              // What the server says of one that was sent shows at COMMIT.
              for (const { issued, done } of pending) if (!(await issued)) await done
              return ended
            } finally {
              this.#open.delete(handle)
            }
          })
          for (const channel of channelsOf(pending)) this.#listener.committed(channel)
          return result
        } catch (error) {
          if (isWaybillError(error) && error.code === 'WB_COMMIT_OUTCOME_UNKNOWN') {
            for (const channel of channelsOf(pending)) this.#listener.unknown(channel)
          }
          throw error
        }
      },
    }
  }

  #of(transaction: unknown): StartedPublish[] | undefined {
    if (typeof transaction !== 'object' || transaction === null) return undefined
    return this.#open.get(transaction)
  }
}

function channelsOf(pending: readonly StartedPublish[]): ReadonlySet<string> {
  return new Set(pending.map(({ channel }) => channel))
}
