import { withDeadline } from '../kernel/deadline.ts'
import { WaybillError } from '../kernel/errors.ts'
import { Lifecycle } from '../kernel/lifecycle.ts'
import type { Subscription } from '../ports/transport.ts'
import { brokerAdmission } from './admission.ts'
import { BatchProcessor } from './batch-processor.ts'
import type { BrokerConsumerOptions } from './consumer-options.ts'
import { ConsumerRun } from './consumer-run.ts'
import { guarded } from './events.ts'

/** After handlers were given up, so long at most until `stop` closes all the same. */
const lastWordMs = 2000

/**
 * Receives from a broker, handles, and settles after the commit (I2). `start` and `stop` in any order. What was received and not
 * settled when it stops comes again, here or elsewhere.
 */
export class BrokerConsumer {
  readonly #options: BrokerConsumerOptions
  readonly #lifecycle: Lifecycle
  #running: Running | undefined

  constructor(options: BrokerConsumerOptions) {
    this.#options = options
    this.#lifecycle = new Lifecycle(
      async () => {
        this.#running = await this.#open()
      },
      async () => {
        const running = this.#running
        this.#running = undefined
        if (running !== undefined) await this.#close(running)
      },
    )
  }

  /** Rejects where the broker refuses the subscription. */
  start(): Promise<void> {
    return this.#lifecycle.start()
  }

  /** Receives nothing more, lets what runs end within `stopTimeoutMs`, settles what is done, and closes. */
  stop(): Promise<void> {
    return this.#lifecycle.stop()
  }

  async #open(): Promise<Running> {
    const options = this.#options
    const { handlers, consumer, inbox } = options
    const giveUp = new AbortController()
    const processor = new BatchProcessor({ ...options, admit: brokerAdmission(inbox, consumer, handlers) })
    const run = new ConsumerRun(options, processor, guarded(options.onEvent), giveUp.signal)
    const subscription = await options.subscribe({
      consumer,
      channels: [...handlers.values()].map(({ channel }) => ({
        channel: channel.name,
        address: channel.address,
      })),
      onRevoked: (streams) => {
        run.revoke(streams)
      },
    })
    return { run, subscription, giveUp, ended: run.start(subscription) }
  }

  async #close({ run, subscription, giveUp, ended }: Running): Promise<void> {
    const { stopTimeoutMs, consumer, logger } = this.#options
    run.stop()
    try {
      await withDeadline(ended, stopTimeoutMs, 'what the consumer runs')
    } catch {
      logger.warn({ consumer }, 'stopping: handlers that still run are given up and rolled back')
      giveUp.abort(
        new WaybillError('WB_ABORTED', `Consumer "${consumer}" is stopping.`, { retryable: 'yes' }),
      )
      await withDeadline(ended, lastWordMs, 'rolling back').catch(() => {})
    }
    await subscription.close()
  }
}

interface Running {
  readonly run: ConsumerRun
  readonly subscription: Subscription
  readonly giveUp: AbortController
  readonly ended: Promise<void>
}
