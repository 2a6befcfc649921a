import { withDeadline } from '../kernel/deadline.ts'
import { WaybillError } from '../kernel/errors.ts'
import { Lifecycle } from '../kernel/lifecycle.ts'
import type { AssignedStream } from '../ports/transport.ts'
import { brokerAdmission } from './admission.ts'
import { BatchProcessor } from './batch-processor.ts'
import type { BrokerConsumerOptions } from './consumer-options.ts'
import { ConsumerRun } from './consumer-run.ts'
import { guarded } from './events.ts'
import { Membership } from './membership.ts'
import { StreamCheckpoints } from './stream-checkpoints.ts'
import { misplaced, streamForm, type StreamForm } from './stream-form.ts'
import { StreamTransforms } from './stream-transforms.ts'
import { StreamWindow } from './stream-window.ts'
import { runTransform } from './transform-transaction.ts'
import type { WindowEntry } from './window-entry.ts'

/** After handlers were given up, so long at most until `stop` closes all the same. */
const lastWordMs = 2000

/**
 * Receives from a broker, handles, and settles after the commit (I2), or before the handler where that is the form (I7). `start` and `stop` in any order. What was received and not
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

  /** Whether the broker counts it as a member of its group, or cannot tell. */
  get isMember(): boolean {
    return this.#running?.membership.isMember === true
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
    const checkpoints = new StreamCheckpoints(options.checkpoints, consumer)
    const admission = brokerAdmission(inbox, consumer, handlers, checkpoints)
    const processor = new BatchProcessor<WindowEntry>({
      ...options,
      admission,
      elsewhere: (ready, ...call) =>
        ready[0]!.item.ref.form === 'transform'
          ? runTransform({ ...options, admission }, transforms, ready, ...call)
          : undefined,
      keyOf: ({ ref }) => ref.key,
      refuse: ({ ref }) => misplaced(handlers, ref),
    })
    const formOf = (stream: string): StreamForm => streamForm(handlers, stream)
    const window = new StreamWindow(options.cautious, formOf)
    const channels = [...handlers.values()].map(({ channel: { name, address } }) => ({
      channel: name,
      address,
    }))
    const seeking = [...handlers.values()].some(({ form }) => form === 'checkpoint')
      ? {
          startAt: (streams: readonly AssignedStream[]) =>
            checkpoints.startAt(streams.filter(({ stream }) => formOf(stream) === 'checkpoint')),
        }
      : {}
    const transforming = [...handlers.values()].some(({ form }) => form === 'transform')
      ? { transforms: true }
      : {}
    const membership = new Membership({
      ...options,
      closeTimeoutMs: options.settleTimeoutMs,
      subscribe: (calls) => options.subscribe({ consumer, channels, ...calls, ...seeking, ...transforming }),
      onRevoked: (streams) => run.revoke(streams),
      onRevoking: (streams) => run.leave(streams),
      onGivenUp: () => run.revoke(undefined),
    })
    const transforms = new StreamTransforms({
      ...options,
      membership,
      timeoutMs: options.settleTimeoutMs,
      drop: (stream, assignment) => run.drop(stream, assignment),
    })
    const tell = guarded(options.onEvent)
    const run = new ConsumerRun(options, {
      window,
      membership,
      processor,
      checkpoints,
      transforms,
      tell,
      giveUp: giveUp.signal,
    })
    await membership.open()
    return { run, membership, giveUp, ended: run.start() }
  }

  async #close({ run, membership, giveUp, ended }: Running): Promise<void> {
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
    await membership.close()
  }
}

interface Running {
  readonly run: ConsumerRun
  readonly membership: Membership
  readonly giveUp: AbortController
  readonly ended: Promise<void>
}
