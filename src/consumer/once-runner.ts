import { describeError, WaybillError } from '../kernel/errors.ts'
import type { Envelope } from '../kernel/message.ts'
import type { Loss, LossCause } from '../ports/outbox.ts'
import type { SqlExecutor } from '../ports/sql.ts'
import type { Admission } from './admission.ts'
import { runOnce, type TransactionParts } from './batch-transaction.ts'
import type { Ready } from './call-handler.ts'
import type { BrokerConsumerOptions } from './consumer-options.ts'
import { decode } from './decode.ts'
import { tellDone, type ConsumerListener } from './events.ts'
import { noHandler, type HandlerEntry } from './handler.ts'
import { failed } from './outcome.ts'

export type OnceRunnerOptions = Pick<
  BrokerConsumerOptions,
  | 'consumer'
  | 'handlers'
  | 'inbox'
  | 'transactions'
  | 'handlerTimeoutMs'
  | 'idleTimeoutMs'
  | 'clock'
  | 'random'
  | 'logger'
>

/** What says that nobody else may run what comes after a message in the order of its key. */
export interface Hold {
  /** In the message's transaction, before its handler. */
  admits(transaction: SqlExecutor): Promise<boolean>
  /** After its handler, before the COMMIT; not needed where `admits` has seen to it that nothing changes before that. */
  lasts?(): Promise<boolean>
}

/**
 * Runs messages that nobody will hand over again, at most once: each in a transaction of its own, and whatever becomes of it
 * (a failure, a time-out, an unknown commit, a store that is down) it is not run a second time (I7).
 */
export class OnceRunner {
  readonly #options: OnceRunnerOptions
  readonly #parts: TransactionParts<null>
  readonly #tell: ConsumerListener

  constructor(options: OnceRunnerOptions, tell: ConsumerListener) {
    this.#options = options
    this.#parts = { ...options, admission: undefined }
    this.#tell = tell
  }

  /**
   * `null`: handled, or among the dead letters because it could not be run at all. Else what was lost. Never rejects. Under a
   * `hold` it is run only while that lasts.
   */
  async run(envelope: Envelope, stop: AbortSignal, hold?: Hold): Promise<Loss | null> {
    const { consumer, handlers } = this.#options
    const { id, channel } = envelope
    const entry = handlers.get(channel)
    try {
      const ready = entry === undefined ? noHandler(consumer, envelope) : await prepare(envelope, entry)
      if (ready instanceof Error) return await this.#bury(envelope, ready)
      if (stop.aborted) return this.lost(envelope, 'not-begun', stop.reason)
      const admission = hold === undefined ? undefined : admissionUnder(hold, consumer)
      const result = await runOnce({ ...this.#parts, admission }, [ready], 1, stop)
      // Its effect may be there.
      if (result.kind === 'commit-unknown') return this.lost(envelope, 'unanswered', result.error)
      if (result.kind !== 'committed') return this.lost(envelope, 'handler-failed', result.error)
      if (result.outcomes[0]!.outcome !== 'handled')
        return this.lost(envelope, 'not-begun', overtaken(consumer))
      tellDone(consumer, [envelope], result.outcomes, this.#tell)
      return null
    } catch (error) {
      return this.lost({ id, channel }, 'handler-failed', error)
    }
  }

  /** Says so, and gives what is to be counted. */
  lost({ id, channel }: Pick<Envelope, 'id' | 'channel'>, cause: LossCause, error: unknown): Loss {
    const { consumer, logger } = this.#options
    const { code, message } = describeError(error)
    const loss: Loss = { channel, id, cause, code }
    this.#tell({ type: 'lost', consumer, ...loss })
    const fields = { consumer, channel, id, cause, code, error: message }
    logger.error(fields, `${cause === 'unanswered' ? 'perhaps lost' : 'lost'}: the channel is at-most-once`)
    return loss
  }

  /** Its handler has not seen it, so keeping it breaks no promise. */
  async #bury(envelope: Envelope, error: Error): Promise<Loss | null> {
    const { consumer, inbox, logger } = this.#options
    const { id, channel } = envelope
    const { code, reason, isUnreadable } = failed(error, 1, false)
    const isBuried = await inbox.bury(consumer, {
      envelope,
      attempts: 1,
      reason: isUnreadable ? 'unreadable' : 'rejected',
      errorCode: code,
      error: reason,
    })
    if (isBuried) {
      this.#tell({ type: 'dead', consumer, channel, id, code })
      logger.error({ consumer, channel, id, code, error: reason }, 'could not be run; it is a dead letter')
    }
    return null
  }
}

function admissionUnder(hold: Hold, consumer: string): Admission<null> {
  return {
    async admit(transaction, items) {
      return new Set((await hold.admits(transaction)) ? items.map(({ envelope }) => envelope.id) : [])
    },
    async confirm() {
      if ((await hold.lasts?.()) === false) throw overtaken(consumer)
    },
  }
}

function overtaken(consumer: string): WaybillError {
  const message = `Its partition has another owner now, who may have run what comes after it; consumer "${consumer}" does not run it any more.`
  return new WaybillError('WB_STORE_CONFLICT', message)
}

async function prepare(envelope: Envelope, entry: HandlerEntry): Promise<Ready<null> | Error> {
  try {
    const message = await decode(envelope, entry.channel)
    return { index: 0, item: { envelope, ref: null, isAlone: true }, entry, message }
  } catch (error) {
    return error instanceof Error ? error : new Error(String(error))
  }
}
