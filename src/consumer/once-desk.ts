import { describeError, WaybillError } from '../kernel/errors.ts'
import type { Loss } from '../ports/outbox.ts'
import type { Delivery, SettledPosition } from '../ports/transport.ts'
import type { BrokerConsumerOptions } from './consumer-options.ts'
import type { ConsumerListener } from './events.ts'
import { orderKey } from './handler.ts'
import { type Hold, OnceRunner } from './once-runner.ts'
import type { Membership } from './membership.ts'
import type { Slots } from './slots.ts'
import { StreamWindow } from './stream-window.ts'
import type { WindowEntry } from './window-entry.ts'

const stream = 'settled'
const takenAway = null
const overtaken = AbortSignal.abort(
  new WaybillError('WB_ABORTED', 'Its stream was taken away before its handler began.'),
)

/**
 * Messages of a broker that were settled and are now to be run, each once, in the order of their keys. The broker has forgotten
 * them, so they are run also when the consumer stops. Where their stream was taken away somebody may be at work on later ones
 * of their keys already: those that have a key are lost then, since to run them now would break its order. A process that was
 * stopped for longer than its session has not heard of it, so the broker is asked before such a handler runs and before its COMMIT.
 */
export class OnceDesk {
  readonly #options: BrokerConsumerOptions
  readonly #membership: Pick<Membership, 'stillHolds'>
  readonly #runner: OnceRunner
  /** The same window that keeps the broker's streams in order, over one stream of our own. */
  readonly #window = new StreamWindow(0)
  /** The broker's stream of each that has a key and has not begun. */
  readonly #origins = new Map<bigint, SettledPosition | typeof takenAway>()
  #position = 0n
  #losses: Loss[] = []
  #isCounting = false

  constructor(
    options: BrokerConsumerOptions,
    membership: Pick<Membership, 'stillHolds'>,
    tell: ConsumerListener,
  ) {
    this.#options = options
    this.#membership = membership
    this.#runner = new OnceRunner(options, tell)
  }

  /** How many more may be settled: what a crash loses is what was settled and not run, one batch at most. */
  get room(): number {
    return Math.max(0, this.#options.batchSize - this.#window.size)
  }

  add(entries: readonly WindowEntry[]): void {
    const { handlers } = this.#options
    const keyOf = ({ envelope }: Delivery): string | null =>
      envelope === null ? null : orderKey(handlers, envelope)
    for (const { delivery, state } of entries) {
      this.#position += 1n
      if (keyOf(delivery) !== null) {
        this.#origins.set(this.#position, state === 'dropped' ? takenAway : delivery)
      }
      this.#window.add([{ ...delivery, stream, position: this.#position, assignment: 1 }], keyOf)
    }
  }

  /** The broker did not say whether it settled these: they are not run, and perhaps nobody will hand them over again. */
  doubt(entries: readonly WindowEntry[], error: unknown): void {
    for (const { delivery } of entries) {
      const { envelope } = delivery
      if (envelope !== null) this.#losses.push(this.#runner.lost(envelope, 'unanswered', error))
    }
  }

  /** The broker took these streams away. */
  revoke(streams: readonly string[]): void {
    for (const [position, origin] of this.#origins) {
      if (origin !== takenAway && streams.includes(origin.stream)) this.#origins.set(position, takenAway)
    }
  }

  /** Whether something of this stream, which was settled and has a key, is still to be run. */
  owes(stream: string): boolean {
    return [...this.#origins.values()].some((origin) => origin !== takenAway && origin.stream === stream)
  }

  revokeAll(): void {
    for (const position of this.#origins.keys()) this.#origins.set(position, takenAway)
  }

  take(slots: Slots): readonly WindowEntry[] {
    return this.#window.take(this.#options.batchSize, 0, slots.limits(this.#window)).entries
  }

  /** Runs them one after another. `false`: there were losses, and a pause is due: what is wrong may be the store. */
  async run(entries: readonly WindowEntry[], stop: AbortSignal): Promise<boolean> {
    let isCalm = true
    for (const entry of entries) {
      const { position, envelope } = entry.delivery
      const isLate = this.#origins.get(position) === takenAway
      const loss = await this.#runner.run(envelope!, isLate ? overtaken : stop, this.#holdOn(position))
      this.#origins.delete(position)
      if (loss !== null) {
        this.#losses.push(loss)
        isCalm = false
      }
      this.#window.finish(entry)
      this.#window.settled(this.#window.settleable())
    }
    return (await this.count()) && isCalm
  }

  /** `undefined`: it has no key, so it matters to nobody when it runs. */
  #holdOn(position: bigint): Hold | undefined {
    if (!this.#origins.has(position)) return undefined
    const lasts = async (): Promise<boolean> => {
      const origin = this.#origins.get(position) ?? takenAway
      if (origin === takenAway || !(await this.#membership.stillHolds(origin))) return false
      // Taken away while the broker was asked.
      return this.#origins.get(position) !== takenAway
    }
    return { admits: lasts, lasts }
  }

  /**
   * Writes down what was lost. `false`: the store does not take it now. Nothing more is to be settled then, or an outage of
   * the store would lose one message after another.
   */
  async count(): Promise<boolean> {
    if (this.#losses.length === 0) return true
    // Under way already: that call's answer decides.
    if (this.#isCounting) return false
    const { consumer, inbox, logger } = this.#options
    // Others may be added while these are written.
    const losses = [...this.#losses]
    this.#isCounting = true
    try {
      await inbox.countLosses(consumer, losses)
      this.#losses = this.#losses.slice(losses.length)
      return this.#losses.length === 0
    } catch (error) {
      logger.warn({ consumer, losses: losses.length, error: describeError(error) }, 'could not count losses')
      return false
    } finally {
      this.#isCounting = false
    }
  }
}
