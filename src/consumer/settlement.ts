import { withDeadline } from '../kernel/deadline.ts'
import { describeError } from '../kernel/errors.ts'
import { failpoint } from '../kernel/failpoint.ts'
import type { SettledPosition } from '../ports/transport.ts'
import type { BrokerConsumerOptions } from './consumer-options.ts'
import type { ConsumerEvent, ConsumerListener } from './events.ts'
import type { Membership } from './membership.ts'
import { isInOrder } from './stream-form.ts'
import type { StreamWindow } from './stream-window.ts'
import type { WindowEntry } from './window-entry.ts'

/**
 * Tells the broker what is done, one request at a time: of two under way at once the lower position could land last, and what
 * stands between would come again.
 */
export class Settlement {
  readonly #options: BrokerConsumerOptions
  readonly #window: StreamWindow
  readonly #membership: Membership
  readonly #tell: ConsumerListener
  #last: Promise<unknown> = Promise.resolve()

  constructor(
    options: BrokerConsumerOptions,
    window: StreamWindow,
    membership: Membership,
    tell: ConsumerListener,
  ) {
    this.#options = options
    this.#window = window
    this.#membership = membership
    this.#tell = tell
  }

  /** Everything that is done. Rejects where the broker did not answer; it is to be called again then. */
  settle(): Promise<void> {
    return this.#inTurn(async () => {
      const done = this.#window.settleable()
      const positions = done.filter(({ form }) => !isInOrder(form))
      const kept = done.filter(({ form }) => form === 'checkpoint')
      const moved = done.filter(({ form }) => form === 'transform')
      if (moved.length > 0) this.#forget(moved)
      if (kept.length > 0) await this.#mention(kept)
      if (positions.length === 0) return
      try {
        await this.#ask(positions)
      } catch (error) {
        // A broken delivery of a stream that is settled first: what comes after it in the stream may not follow now.
        if (positions.some(({ form }) => form === 'first')) void this.#membership.renew()
        throw error
      }
      this.#forget(positions)
    })
  }

  /**
   * For a run of one stream that may be handled only after its settlement: `taken` by the broker, and then it is the caller's
   * to run · `refused`: the broker will hand it over again, to whoever has the stream then. Rejects where it was not
   * answered: nobody may run it then, and perhaps nobody gets it again.
   */
  settleFirst(entries: readonly WindowEntry[]): Promise<'taken' | 'refused'> {
    return this.#inTurn(async () => {
      // Revoked while it waited for its turn.
      const last = entries.findLast(({ state }) => state === 'running')
      if (last === undefined || last !== entries.at(-1)) return 'refused'
      const { stream, position, assignment } = last.delivery
      const positions = [{ stream, position, assignment }]
      const { consumer } = this.#options
      const unsettled: ConsumerEvent = { type: 'unsettled', consumer, count: entries.length }
      let answers: readonly boolean[]
      try {
        answers = await this.#ask(positions)
      } catch (error) {
        this.#tell(unsettled)
        void this.#membership.renew()
        throw error
      }
      if (answers[0] !== true) {
        // The assignment is over, and the next one decides.
        this.#window.revoke([stream])
        this.#tell(unsettled)
        return 'refused'
      }
      for (const entry of entries) this.#window.finish(entry)
      this.#forget(positions)
      return 'taken'
    })
  }

  /** The checkpoints are what counts; the broker is told so that its own view of the lag is right. */
  async #mention(positions: readonly SettledPosition[]): Promise<void> {
    try {
      await this.#ask(positions)
    } catch (error) {
      const { consumer, logger } = this.#options
      logger.debug(
        { consumer, error: describeError(error) },
        'could not tell the broker how far it is handled',
      )
    }
    this.#forget(positions)
  }

  async #ask(positions: readonly SettledPosition[]): Promise<readonly boolean[]> {
    failpoint('consumer.before-settle')
    const asked = this.#membership.settle(positions)
    const answers = await withDeadline(asked, this.#options.settleTimeoutMs, 'the broker, asked to settle,')
    failpoint('consumer.after-settle')
    return answers
  }

  #forget(positions: readonly SettledPosition[]): void {
    const count = this.#window.settled(positions)
    this.#tell({ type: 'settled', consumer: this.#options.consumer, count })
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const mine = this.#last.then(work, work)
    this.#last = mine.catch(() => {})
    return mine
  }
}
