import { describeError } from '../kernel/errors.ts'
import type { Envelope } from '../kernel/message.ts'
import { backoffMs } from '../kernel/retry.ts'
import type { RefusedMessage } from '../ports/inbox.ts'
import type { WorkItem } from './batch-processor.ts'
import { brokenEnvelope } from './broken-delivery.ts'
import type { BrokerConsumerOptions } from './consumer-options.ts'
import type { ConsumerListener } from './events.ts'
import type { Failed, Outcome } from './outcome.ts'
import { isMisplaced } from './stream-form.ts'
import type { StreamWindow } from './stream-window.ts'
import type { WindowEntry } from './window-entry.ts'

type Parts = Pick<
  BrokerConsumerOptions,
  'consumer' | 'handlers' | 'inbox' | 'maxAttempts' | 'retry' | 'clock' | 'random' | 'logger'
>

/** What follows from the outcome of a delivery: done, tried again after a pause, or among the dead letters. */
export class Conclusions {
  readonly #options: Parts
  readonly #window: StreamWindow
  readonly #tell: ConsumerListener

  constructor(options: Parts, window: StreamWindow, tell: ConsumerListener) {
    this.#options = options
    this.#window = window
    this.#tell = tell
  }

  /** Moves the entry of an outcome on: out of the way of its key, or to wait. Never rejects. */
  async conclude({ ref: entry, envelope }: WorkItem<WindowEntry>, outcome: Outcome): Promise<void> {
    const { clock, retry, random } = this.#options
    switch (outcome.outcome) {
      case 'handled':
      case 'duplicate':
        this.#window.finish(entry)
        break
      case 'skipped':
      case 'unavailable':
        this.#window.release(entry)
        break
      case 'unknown':
        this.#window.hold(entry, clock.now() + backoffMs(1, retry, random))
        break
      case 'failed':
        await this.#failed(entry, envelope, outcome)
    }
  }

  async #failed(entry: WindowEntry, envelope: Envelope, outcome: Failed): Promise<void> {
    const { consumer, clock, retry, random, logger, maxAttempts, handlers } = this.#options
    const { id, channel } = envelope
    const { attempts, code, reason: error } = outcome
    const limit = handlers.get(channel)?.channel.maxAttempts ?? maxAttempts
    this.#tell({ type: 'failed', consumer, channel, id, attempts, code })
    if (outcome.retryable && attempts < limit) {
      this.#window.hold(entry, clock.now() + backoffMs(attempts, retry, random))
      logger.warn({ consumer, channel, id, attempts, code, error }, 'handling failed; it will be tried again')
      return
    }
    const reason = outcome.retryable ? 'attempts-exhausted' : 'rejected'
    await this.#bury(entry, { envelope, attempts, reason, errorCode: code, error })
  }

  /** A delivery that could not be decoded: it costs only itself (O4). */
  async buryBroken(entry: WindowEntry): Promise<void> {
    const error = entry.delivery.raw?.error ?? 'it could not be decoded'
    const envelope = brokenEnvelope(this.#options.handlers, entry.delivery)
    await this.#bury(entry, {
      envelope,
      attempts: 1,
      reason: 'rejected',
      errorCode: 'WB_ENVELOPE_INVALID',
      error,
    })
  }

  /** Whether it is of a channel that may not be run on a stream like this; see {@link isMisplaced}. */
  isMisplaced({ delivery: { envelope }, form }: WindowEntry): boolean {
    return envelope !== null && isMisplaced(this.#options.handlers.get(envelope.channel)?.form, form)
  }

  async buryMisplaced(entry: WindowEntry): Promise<void> {
    const envelope = entry.delivery.envelope!
    const { stream } = entry.delivery
    const error = `it came over "${stream}", which is of another channel, where nothing keeps it from running twice`
    await this.#bury(entry, {
      envelope,
      attempts: 1,
      reason: 'parked',
      errorCode: 'WB_ENVELOPE_INVALID',
      error,
    })
  }

  /** Where the dead letter cannot be written the message has only failed once more, and its key waits (B7, F39). */
  async #bury(entry: WindowEntry, message: RefusedMessage): Promise<void> {
    const { consumer, inbox, logger, clock, retry, random } = this.#options
    const { envelope, attempts, errorCode: code, error } = message
    const { id, channel } = envelope
    try {
      const isBuried = await inbox.bury(consumer, message)
      this.#window.finish(entry)
      if (!isBuried) return
      this.#tell({ type: 'dead', consumer, channel, id, code })
      logger.error(
        { consumer, channel, id, attempts, code, error },
        'given up; the message is among the dead letters',
      )
    } catch (storeError) {
      this.#window.hold(entry, clock.now() + backoffMs(attempts, retry, random))
      logger.warn(
        { consumer, channel, id, error: describeError(storeError) },
        'could not write a dead letter; trying again',
      )
    }
  }
}
