import { withDeadline } from '../kernel/deadline.ts'
import { describeError } from '../kernel/errors.ts'
import { failpoint } from '../kernel/failpoint.ts'
import { backoffMs } from '../kernel/retry.ts'
import type { Delivery, Subscription } from '../ports/transport.ts'
import type { BatchProcessor, WorkItem } from './batch-processor.ts'
import { Conclusions } from './conclusions.ts'
import type { BrokerConsumerOptions } from './consumer-options.ts'
import { tellDone, type ConsumerListener } from './events.ts'
import { orderKey } from './handler.ts'
import type { Outcome } from './outcome.ts'
import { StreamWindow } from './stream-window.ts'
import { Wake } from './wake.ts'
import type { Turn, WindowEntry } from './window-entry.ts'

/**
 * One run of a consumer, from its start to its stop: a loop that receives, and one that handles and settles. Neither ends
 * by an error: it is logged, and tried again after a pause that grows (I4, O3).
 */
export class ConsumerRun {
  readonly #options: BrokerConsumerOptions
  readonly #processor: BatchProcessor<WindowEntry>
  readonly #conclusions: Conclusions
  readonly #tell: ConsumerListener
  readonly #giveUp: AbortSignal
  readonly #window: StreamWindow
  readonly #stop = new AbortController()
  readonly #work: Wake
  readonly #room: Wake

  constructor(
    options: BrokerConsumerOptions,
    processor: BatchProcessor<WindowEntry>,
    tell: ConsumerListener,
    giveUp: AbortSignal,
  ) {
    this.#options = options
    this.#processor = processor
    this.#tell = tell
    this.#giveUp = giveUp
    this.#window = new StreamWindow(options.cautious)
    this.#conclusions = new Conclusions(options, this.#window, tell)
    this.#work = new Wake(options.clock)
    this.#room = new Wake(options.clock)
  }

  /** Resolves when both loops have ended, after `stop`. Never rejects. */
  async start(subscription: Subscription): Promise<void> {
    await Promise.all([this.#receiveAll(subscription), this.#handleAll(subscription)])
    // The last turn's settlement may have failed.
    await this.#settle(subscription).catch(() => {})
  }

  stop(): void {
    this.#stop.abort()
  }

  revoke(streams: readonly string[]): void {
    this.#window.revoke(streams)
    this.#room.set()
  }

  async #receiveAll(subscription: Subscription): Promise<void> {
    const stop = this.#stop.signal
    for (let failures = 0; !stop.aborted;) {
      const room = this.#options.window - this.#window.size
      if (room <= 0) {
        await this.#room.wait(Infinity, stop)
        continue
      }
      try {
        const deliveries = await subscription.receive(room, stop)
        // Into the window before anything else can throw: what is not there would be settled past.
        this.#window.add(deliveries, (delivery) => this.#keyOf(delivery))
        this.#work.set()
        failpoint('consumer.after-receive')
        failures = deliveries.length > 0 ? 0 : failures + 1
      } catch (error) {
        failures += 1
        this.#warn(describeError(error), 'could not receive from the broker')
      }
      if (failures > 0) await this.#pause(failures)
    }
  }

  async #handleAll(subscription: Subscription): Promise<void> {
    const stop = this.#stop.signal
    for (let failures = 0; !stop.aborted;) {
      const { clock, batchSize } = this.#options
      const turn = this.#window.take(batchSize, clock.now())
      let isCalm = false
      try {
        isCalm = await this.#run(turn)
        await this.#settle(subscription)
      } catch (error) {
        isCalm = false
        this.#warn(describeError(error), 'could not finish what was received')
      }
      // What is still marked as running was left by an error on the way: it has not been finished.
      for (const entry of turn.entries) this.#window.release(entry)
      failures = isCalm ? 0 : failures + 1
      if (failures > 0) await this.#pause(failures)
      else if (turn.entries.length === 0) await this.#work.wait(this.#window.nextDueAt() - clock.now(), stop)
    }
  }

  /** `false`: nothing could be done, and a pause is due. */
  async #run({ kind, entries }: Turn): Promise<boolean> {
    const items: WorkItem<WindowEntry>[] = []
    for (const entry of entries) {
      const { envelope } = entry.delivery
      if (envelope === null) await this.#conclusions.buryBroken(entry)
      else items.push({ envelope, ref: entry, isAlone: kind === 'alone' })
    }
    if (items.length === 0) return true
    const outcomes = await this.#processor.process(items, this.#giveUp)
    const done = items.map((item, i) => ({ channel: item.envelope.channel, outcome: outcomes[i]!.outcome }))
    tellDone(this.#options.consumer, done, this.#tell)
    let trouble: Outcome | undefined
    for (const [i, item] of items.entries()) {
      const outcome = outcomes[i]!
      if (outcome.outcome === 'unavailable') trouble = outcome
      await this.#conclusions.conclude(item, outcome)
    }
    if (trouble?.outcome === 'unavailable' && !this.#stop.signal.aborted) {
      this.#warn({ code: trouble.code, message: trouble.reason }, 'the store is not available; trying again')
    }
    return trouble === undefined
  }

  async #settle(subscription: Subscription): Promise<void> {
    const positions = this.#window.settleable()
    if (positions.length === 0) return
    failpoint('consumer.before-settle')
    await withDeadline(
      subscription.settle(positions),
      this.#options.settleTimeoutMs,
      'the broker, asked to settle,',
    )
    failpoint('consumer.after-settle')
    const count = this.#window.settled(positions)
    this.#room.set()
    this.#tell({ type: 'settled', consumer: this.#options.consumer, count })
  }

  #keyOf({ envelope }: Delivery): string | null {
    return envelope === null ? null : orderKey(this.#options.handlers, envelope)
  }

  async #pause(failures: number): Promise<void> {
    const { clock, trouble, random } = this.#options
    await clock.sleep(backoffMs(failures, trouble, random), this.#stop.signal)
  }

  #warn(error: ReturnType<typeof describeError>, message: string): void {
    const { consumer, logger } = this.#options
    logger.warn({ consumer, error }, message)
    this.#tell({ type: 'unavailable', consumer, code: error.code })
  }
}
