import { withDeadline } from '../kernel/deadline.ts'
import { describeError, WaybillError } from '../kernel/errors.ts'
import type { Envelope } from '../kernel/message.ts'
import { backoffMs } from '../kernel/retry.ts'
import type { Loss } from '../ports/outbox.ts'
import type { AskedReplay, Replays } from '../ports/replays.ts'
import type { Admission } from './admission.ts'
import { runTogether } from './batch-transaction.ts'
import { isBroken } from './broken-delivery.ts'
import type { Ready } from './call-handler.ts'
import type { BrokerConsumerOptions } from './consumer-options.ts'
import { decode } from './decode.ts'
import { guarded, tellDone, type ConsumerListener } from './events.ts'
import type { HandlerEntry } from './handler.ts'
import { OnceRunner, type OnceRunnerOptions } from './once-runner.ts'

export interface ReplayerOptions
  extends
    OnceRunnerOptions,
    Pick<BrokerConsumerOptions, 'maxAttempts' | 'trouble' | 'stopTimeoutMs' | 'onEvent'> {
  readonly replays: Replays
  /** Pause before it looks again where nothing was asked for. */
  readonly intervalMs: number
}

/** On top of what a handler may take, until another process may take a replay over. */
const leaseMarginMs = 10_000

/** How long its last statements may take once its handlers were given up. */
const lastWordMs = 2000

/**
 * Runs the dead letters of a consumer that somebody asked for, one after another and beside its streams: their order is over since
 * they were given up. Each runs in one transaction that deletes its dead letter first, so once, whichever processes look at
 * the same time; where it fails it stays a dead letter. Nothing is settled at a broker.
 */
export class Replayer {
  readonly #options: ReplayerOptions
  readonly #tell: ConsumerListener
  readonly #once: OnceRunner
  readonly #stop = new AbortController()
  readonly #giveUp = new AbortController()
  #ended: Promise<void> | undefined
  /** At most once: not counted yet. */
  #losses: readonly Loss[] = []

  constructor(options: ReplayerOptions) {
    this.#options = options
    this.#tell = guarded(options.onEvent)
    this.#once = new OnceRunner(options, this.#tell)
  }

  start(): void {
    this.#ended ??= this.#loop()
  }

  /** Claims nothing more, and lets what runs end within `stopTimeoutMs`. Never rejects. */
  async stop(): Promise<void> {
    this.#stop.abort()
    if (this.#ended === undefined) return
    try {
      await withDeadline(this.#ended, this.#options.stopTimeoutMs, 'a replay')
    } catch {
      this.#giveUp.abort(new WaybillError('WB_ABORTED', 'The consumer is stopping.', { retryable: 'yes' }))
      await withDeadline(this.#ended, lastWordMs, 'rolling back').catch(() => {})
    }
  }

  async #loop(): Promise<void> {
    const { clock, trouble, random, intervalMs, consumer, logger } = this.#options
    const stop = this.#stop.signal
    for (let failures = 0; !stop.aborted;) {
      try {
        const isMore = await this.#next()
        failures = 0
        if (!isMore) await clock.sleep(intervalMs, stop)
      } catch (error) {
        failures += 1
        logger.warn({ consumer, error: describeError(error) }, 'could not look for replays; trying again')
        await clock.sleep(backoffMs(failures, trouble, random), stop)
      }
    }
    await this.#count().catch(() => {})
  }

  /** Tried again before the next one is claimed: the store may be down that a handler has just failed for (A3). */
  async #count(): Promise<void> {
    const losses = this.#losses
    if (losses.length === 0) return
    await this.#options.inbox.countLosses(this.#options.consumer, losses)
    this.#losses = []
  }

  /** `false`: nothing is asked for. */
  async #next(): Promise<boolean> {
    const { replays, consumer, handlers, idleTimeoutMs } = this.#options
    await this.#count()
    const replay = await replays.claim(consumer, [...handlers.keys()], idleTimeoutMs + leaseMarginMs)
    if (replay === null) return false
    await this.#replay(replay, handlers.get(replay.envelope.channel)!)
    return true
  }

  async #replay(replay: AskedReplay, entry: HandlerEntry): Promise<void> {
    const { envelope, starts } = replay
    const obstacle = this.#obstacle(replay, entry)
    if (obstacle !== undefined) return await this.#fail(replay, obstacle, starts - 1)
    let ready: Ready<null>
    try {
      const message = await decode(envelope, entry.channel)
      ready = { index: 0, item: { envelope, ref: null, isAlone: true }, entry, message }
    } catch (error) {
      return await this.#fail(replay, error, starts)
    }
    if (entry.form === 'settle-first') await this.#runOnce(replay)
    else await this.#run(replay, ready)
  }

  /** Why it cannot be run at all. */
  #obstacle({ envelope, starts }: AskedReplay, { form, channel }: HandlerEntry): WaybillError | undefined {
    const { id } = envelope
    if (isBroken(envelope)) {
      return new WaybillError(
        'WB_ENVELOPE_INVALID',
        `Message ${id} is kept as the bytes that came, which are no message: it cannot be run. Purge it, and have it sent again.`,
      )
    }
    if (form === 'transform') {
      return new WaybillError(
        'WB_GUARANTEE_UNSUPPORTED',
        `Message ${id} is of a transform, whose outputs are committed together with the position of their input: a dead letter has ` +
          'none any more. Send it again at its source, and purge it.',
      )
    }
    if (starts <= (channel.maxAttempts ?? this.#options.maxAttempts)) return undefined
    return new WaybillError(
      'WB_HANDLER_FAILED',
      `The handler of message ${id} was started ${starts - 1} times for a replay and never ended: it may end the process it runs in.`,
    )
  }

  /** Until it is committed, failed, or found to be another's. */
  async #run(replay: AskedReplay, ready: Ready<null>): Promise<void> {
    const { consumer, replays, logger } = this.#options
    const { id, channel } = replay.envelope
    const admission: Admission<null> = {
      admit: async (transaction) => new Set((await replays.take(transaction, consumer, replay)) ? [id] : []),
    }
    const parts = { ...this.#options, admission }
    const result = await runTogether(parts, [ready], replay.starts, this.#giveUp.signal)
    switch (result.kind) {
      case 'committed':
        tellDone(consumer, [replay.envelope], result.outcomes, this.#tell)
        if (result.outcomes[0]!.outcome === 'handled')
          logger.info({ consumer, channel, id, number: replay.number }, 'a dead letter was replayed')
        return
      case 'message':
      case 'conflict':
        return await this.#fail(replay, result.error, replay.starts)
      case 'commit-unknown':
        // Where it did not commit its claim ends, and it is run again; where it did the dead letter is gone.
        return
      default:
        await replays.release(consumer, replay)
        throw result.error
    }
  }

  /** At most once: the dead letter has gone, durably, before the handler starts; what fails then is lost, and counted (I7). */
  async #runOnce(replay: AskedReplay): Promise<void> {
    const { consumer, replays, transactions, idleTimeoutMs } = this.#options
    const { envelope } = replay
    let isOurs: boolean
    try {
      isOurs = await transactions.run({ idleTimeoutMs }, ({ executor }) =>
        replays.take(executor, consumer, replay),
      )
    } catch (error) {
      if (describeError(error).code !== 'WB_COMMIT_OUTCOME_UNKNOWN') throw error
      this.#losses = [this.#once.lost(envelope, 'unanswered', error)]
      return await this.#count()
    }
    if (!isOurs) return
    const loss = await this.#once.run(envelope, this.#giveUp.signal)
    if (loss === null) return
    this.#losses = [loss]
    await this.#count()
  }

  async #fail(replay: AskedReplay, error: unknown, attempts: number): Promise<void> {
    const { consumer, replays, logger } = this.#options
    const { id, channel }: Envelope = replay.envelope
    const { code, message } = describeError(error)
    await replays.fail(consumer, replay, { attempts, errorCode: code, error: message })
    this.#tell({ type: 'dead', consumer, channel, id, code })
    logger.error(
      { consumer, channel, id, number: replay.number, code, error: message },
      'a replay failed; the message is a dead letter still',
    )
  }
}
