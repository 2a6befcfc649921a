import { describeError, WaybillError } from '../kernel/errors.ts'
import type { Envelope } from '../kernel/message.ts'
import { backoffMs } from '../kernel/retry.ts'
import type { RefusedMessage } from '../ports/inbox.ts'
import { brokenEnvelope } from './broken-delivery.ts'
import type { BrokerConsumerOptions } from './consumer-options.ts'
import type { ConsumerListener } from './events.ts'
import type { Failed, Outcome } from './outcome.ts'
import { CheckpointMovedError, type StreamCheckpoints } from './stream-checkpoints.ts'
import type { StreamTransforms } from './stream-transforms.ts'
import type { StreamWindow } from './stream-window.ts'
import type { WindowEntry } from './window-entry.ts'
import type { WorkItem } from './work-item.ts'

type Parts = Pick<
  BrokerConsumerOptions,
  | 'consumer'
  | 'handlers'
  | 'inbox'
  | 'transactions'
  | 'idleTimeoutMs'
  | 'maxAttempts'
  | 'retry'
  | 'clock'
  | 'random'
  | 'logger'
>

export interface ConclusionParts {
  readonly window: StreamWindow
  readonly checkpoints: StreamCheckpoints
  readonly transforms: StreamTransforms
  readonly tell: ConsumerListener
  /** A checkpoint went back: only a new assignment begins where it is now. */
  readonly onStale: () => void
}

/** What follows from the outcome of a delivery: done, tried again after a pause, or among the dead letters. */
export class Conclusions {
  readonly #options: Parts
  readonly #window: StreamWindow
  readonly #checkpoints: StreamCheckpoints
  readonly #transforms: StreamTransforms
  readonly #onStale: () => void
  readonly #tell: ConsumerListener

  constructor(options: Parts, around: ConclusionParts) {
    this.#options = options
    this.#window = around.window
    this.#checkpoints = around.checkpoints
    this.#transforms = around.transforms
    this.#tell = around.tell
    this.#onStale = around.onStale
  }

  /** Moves the entry of an outcome on: out of the way of its key, or to wait. Never rejects. */
  conclude({ ref: entry, envelope }: WorkItem<WindowEntry>, outcome: Outcome): Promise<void> | void {
    const { clock, retry, random } = this.#options
    switch (outcome.outcome) {
      case 'handled':
      case 'duplicate':
        this.#window.finish(entry)
        break
      case 'skipped':
      case 'stale':
      case 'reassigned':
      case 'unavailable':
        this.#window.release(entry)
        break
      case 'unknown':
        this.#window.hold(entry, clock.now() + backoffMs(1, retry, random))
        break
      case 'later': {
        const { pauseMs, attempts, code, reason: error } = outcome
        const { consumer, logger } = this.#options
        this.#window.hold(entry, clock.now() + (pauseMs ?? backoffMs(attempts + 1, retry, random)))
        logger.info(
          { consumer, channel: envelope.channel, id: envelope.id, code, error },
          'its handler asked for a pause',
        )
        break
      }
      case 'failed':
        return this.#failed(entry, envelope, outcome)
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
    const reason = outcome.isUnreadable ? 'unreadable' : outcome.retryable ? 'attempts-exhausted' : 'rejected'
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

  /**
   * On a stream with a checkpoint the dead letter moves it, in the same transaction. That of a transform stands before its
   * position moves: a crash in between brings the message back, first of its stream, and its count gives it up again.
   */
  async #write(entry: WindowEntry, message: RefusedMessage): Promise<boolean> {
    const { consumer, inbox, transactions, idleTimeoutMs } = this.#options
    if (entry.form === 'transform') {
      const isNew = await inbox.bury(consumer, message)
      await this.#passOver(entry)
      return isNew
    }
    if (entry.form !== 'checkpoint') return await inbox.bury(consumer, message)
    const { delivery } = entry
    // Written before, by a transaction whose commit was not answered.
    if (this.#checkpoints.isPast(delivery)) return false
    const isBuried = await transactions.run({ idleTimeoutMs }, async ({ executor }) => {
      await this.#checkpoints.advance(executor, [delivery])
      return await inbox.bury(consumer, message, executor)
    })
    this.#checkpoints.moved([delivery])
    return isBuried
  }

  async #passOver({ delivery }: WindowEntry): Promise<void> {
    const { outcome } = await this.#transforms.commit([delivery], [])
    if (outcome !== 'rejected') return
    const text = `The position of stream "${delivery.stream}" could not be committed past a dead letter.`
    throw new WaybillError('WB_BROKER_UNREACHABLE', text, { retryable: 'yes' })
  }

  async #lookAgain(stream: string): Promise<void> {
    try {
      if (!(await this.#checkpoints.lookAgain(stream))) this.#onStale()
    } catch {
      // The store again: the next try finds it moved once more.
    }
  }

  /** Where the dead letter cannot be written the message has only failed once more, and its key waits (B7, F39). */
  async #bury(entry: WindowEntry, message: RefusedMessage): Promise<void> {
    const { consumer, logger, clock, retry, random } = this.#options
    const { envelope, attempts, errorCode: code, error } = message
    const { id, channel } = envelope
    try {
      const isBuried = await this.#write(entry, message)
      this.#window.finish(entry)
      if (!isBuried) return
      this.#tell({ type: 'dead', consumer, channel, id, code })
      logger.error(
        { consumer, channel, id, attempts, code, error },
        'given up; the message is among the dead letters',
      )
    } catch (storeError) {
      if (storeError instanceof CheckpointMovedError) await this.#lookAgain(storeError.stream)
      this.#window.hold(entry, clock.now() + backoffMs(attempts, retry, random))
      logger.warn(
        { consumer, channel, id, error: describeError(storeError) },
        'could not write a dead letter; trying again',
      )
    }
  }
}
