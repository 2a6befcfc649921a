import type { BrokerConsumerOptions } from '../../src/consumer/consumer-options.ts'
import type { Checkpoints } from '../../src/ports/checkpoints.ts'
import type { Inbox } from '../../src/ports/inbox.ts'
import { type TransactionRunner, wrapBehind } from '../../src/ports/transaction-runner.ts'
import type { SubscribeRequest, Subscription } from '../../src/ports/transport.ts'
import { FakeClock } from './clock.ts'
import type { LogBroker } from './log-broker.ts'
import type { FakeStore } from './store.ts'

/** A process that dies, or is stopped, at one of its steps: everything it does with the world waits at a gate before and after it. */
export class MortalProcess {
  steps = 0
  /** Resolves when it died. */
  readonly died: Promise<void>
  #dieAt: number
  readonly #die: () => void
  readonly #wake: PromiseWithResolvers<void> = Promise.withResolvers()
  #isDead = false

  constructor(dieAt: number) {
    const { promise, resolve } = Promise.withResolvers<void>()
    this.died = promise
    this.#die = resolve
    this.#dieAt = dieAt
  }

  get isDead(): boolean {
    return this.#isDead
  }

  /** It will not die any more. */
  spare(): void {
    this.#dieAt = Infinity
  }

  /** It had only been stopped, and goes on where it was. */
  wake(): void {
    this.#isDead = false
    this.#wake.resolve()
  }

  async gate(): Promise<void> {
    this.steps += 1
    if (this.steps === this.#dieAt) {
      this.#isDead = true
      this.#die()
    }
    while (this.#isDead) await this.#wake.promise
  }

  /** Its hands on a store and a broker that outlive it. */
  handsOn(
    store: FakeStore,
    broker: LogBroker,
  ): Pick<BrokerConsumerOptions, 'inbox' | 'checkpoints' | 'transactions' | 'subscribe' | 'clock'> {
    const around = async <T>(work: () => Promise<T>): Promise<T> => {
      await this.gate()
      const result = await work()
      await this.gate()
      return result
    }
    const { inbox: notes, checkpoints: marks, transactions: runner } = store
    const inbox: Inbox = {
      ...notes,
      // It takes its time, so that what may be done meanwhile is done.
      admit: (...given) =>
        around(async () => {
          await new Promise((resolve) => setImmediate(resolve))
          return await notes.admit(...given)
        }),
      countStart: (...given) => around(() => notes.countStart(...given)),
      takeBackStart: (...given) => around(() => notes.takeBackStart(...given)),
      bury: (...given) => around(() => notes.bury(...given)),
      countLosses: (...given) => around(() => notes.countLosses(...given)),
    }
    const checkpoints: Checkpoints = {
      find: (...given) => around(() => marks.find(...given)),
      advance: (...given) => around(() => marks.advance(...given)),
    }
    const inside = (one: TransactionRunner): TransactionRunner => ({
      run: (options, work) =>
        one.run(wrapBehind(options, inside), (transaction) => around(() => work(transaction))),
    })
    const transactions: TransactionRunner = {
      run: (options, work) => around(() => inside(runner).run(options, work)),
    }
    const subscribe = async (request: SubscribeRequest): Promise<Subscription> => {
      const subscription = await around(() => broker.subscribe(request))
      return {
        receive: (...given) => around(() => subscription.receive(...given)),
        settle: (...given) => around(() => subscription.settle(...given)),
        close: () => subscription.close(),
      }
    }
    return { inbox, checkpoints, transactions, subscribe, clock: new MortalClock(this) }
  }
}

class MortalClock extends FakeClock {
  readonly #process: MortalProcess

  constructor(process: MortalProcess) {
    super()
    this.#process = process
  }

  override async sleep(ms: number, signal?: AbortSignal): Promise<void> {
    // No step of its own: how often a loop looks again is not the same in each run. But the dead do not look.
    if (this.#process.isDead) await this.#process.gate()
    await super.sleep(ms, signal)
  }
}
