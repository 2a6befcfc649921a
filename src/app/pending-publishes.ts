import type { StartedPublish } from '../outbox/publish.ts'
import type { TransactionRunner } from '../ports/transaction-runner.ts'

/**
 * Publishes that nobody awaited, by the transaction they are in. Not awaiting them is how a transaction is pipelined; but one
 * that was refused would then be missed, and one whose schema is still at work would come after COMMIT. So the transaction
 * ends only when each has been sent or refused, and a refusal rolls it back.
 */
export class PendingPublishes {
  readonly #open = new WeakMap<object, StartedPublish[]>()

  note(started: StartedPublish): void {
    const { transaction } = started
    if (typeof transaction !== 'object' || transaction === null) return
    const pending = this.#open.get(transaction)
    if (pending === undefined) return
    // The transaction reports its failure: it must not count as a rejection that nobody handled as well.
    started.done.catch(() => {})
    pending.push(started)
  }

  watch(runner: TransactionRunner): TransactionRunner {
    return {
      run: (options, work) =>
        runner.run(options, async (transaction) => {
          const { handle } = transaction
          if (typeof handle !== 'object' || handle === null) return await work(transaction)
          const pending: StartedPublish[] = []
          this.#open.set(handle, pending)
          try {
            const result = await work(transaction)
            // What the server says of one that was sent shows at COMMIT.
            for (const { issued, done } of pending) if (!(await issued)) await done
            return result
          } finally {
            this.#open.delete(handle)
          }
        }),
    }
  }
}
