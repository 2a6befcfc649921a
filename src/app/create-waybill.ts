import { type Clock, type Random, systemClock, systemRandom } from '../kernel/clock.ts'
import { WaybillError } from '../kernel/errors.ts'
import { Lifecycle } from '../kernel/lifecycle.ts'
import type { Plan } from '../guarantees/plan.ts'
import type { SomeChannel } from '../outbox/channel.ts'
import { createPublish, type Publish } from '../outbox/publish.ts'
import { createSend, type Send } from '../outbox/send.ts'
import type { DifferingPartitions } from '../ports/schema.ts'
import type { Store } from '../ports/store.ts'
import type { TransactionRunner } from '../ports/transaction-runner.ts'
import { bindTransactions, executorFor } from '../transactions/registry.ts'
import { type CleanupDesk, createCleanupDesk, startCleanup } from './cleanup.ts'
import { Backlog } from './backlog.ts'
import type { BatchConsumeOptions, ConsumeOptions, TransformConsumeOptions } from './consume-options.ts'
import { type ResolvedConfig, resolveConfig, type WaybillConfig } from './config.ts'
import { refuseMixedTransforms, type Registration, startConsumers } from './consumers.ts'
import { censusRequest, summarise, type StatusSummary } from './inspection/summary.ts'
import { createDeadLetterDesk, type DeadLetterDesk } from './dead-letters.ts'
import { createDrain, type Drain } from './drain.ts'
import { createKeyDesk, type KeyDesk } from './keys.ts'
import { KnownSchema } from './known-schema.ts'
import { type Middleware, MiddlewareStack } from './middleware.ts'
import { OpenTransports } from './open-transports.ts'
import { createPartitionDesk, type PartitionDesk } from './partitions.ts'
import { PendingPublishes } from './pending-publishes.ts'
import { startMonitors, watchedPlaces } from './monitoring.ts'
import { plansOf } from './plans.ts'
import { registeredOf, warnOfPartitions } from './registered.ts'
import { refuseRegistration, registrationOf } from './registration.ts'
import { startRelays } from './relays.ts'
import type { PartStatus, Running, TransactionOptions, WaybillStatus } from './running.ts'
import { Sends } from './sends.ts'
import { createSentDesk, type SentDesk } from './sent.ts'
import { createSubscriptionDesk, type SubscriptionDesk } from './subscriptions.ts'
import { untilSignal } from './signals.ts'
import type { SettingsSources } from './settings.ts'
import { withoutStore } from './transforms.ts'
import { Waking } from './waking.ts'
import type { Waybill } from './waybill.ts'

/**
 * Puts store, transports and channels together. Throws `WB_INVALID_CONFIG` or `WB_INVALID_OPTION`; connects to nothing
 * before it is used. Settings come from `sources.flags`, then `WAYBILL_*` variables, then the configuration.
 */
export function createWaybill<Handle = unknown>(
  config: WaybillConfig<Handle>,
  sources: Pick<SettingsSources, 'flags' | 'env'> = { env: process.env },
): Waybill<Handle> {
  return assembleWaybill(resolveConfig(config, sources))
}

/** What an instance goes by. */
export interface Time {
  readonly clock: Clock
  readonly random: Random
}

/**
 * The same of a configuration that was judged already; with another clock for what it runs, as tests need. `onStopped` is told how each part
 * is when it has been stopped: `status()` has none any more, and what ended meanwhile is in no status from before.
 */
export function assembleWaybill<Handle>(
  config: ResolvedConfig<Handle>,
  time: Time = { clock: systemClock, random: systemRandom },
  onStopped: (part: PartStatus) => void = () => {},
): Waybill<Handle> {
  return new Instance(config, time, onStopped)
}

class Instance<Handle> implements Waybill<Handle> {
  readonly publish: Publish
  readonly send: Send
  readonly deadLetters: DeadLetterDesk
  readonly keys: KeyDesk
  readonly sent: SentDesk
  readonly subscriptions: SubscriptionDesk
  readonly cleanup: CleanupDesk
  readonly partitions: PartitionDesk
  readonly drain: Drain
  readonly #config: ResolvedConfig<Handle>
  readonly #time: Time
  readonly #onStopped: (part: PartStatus) => void
  readonly #registrations: Registration[] = []
  readonly #lifecycle: Lifecycle
  readonly #middleware = new MiddlewareStack()
  readonly #pending: PendingPublishes
  readonly #waking: Waking
  readonly #transports: OpenTransports
  readonly #sends: Sends
  readonly #backlog: Backlog
  readonly #looking: Pick<Waybill, 'inspect'>
  #store: Store | null = null
  #running: Running[] = []

  constructor(config: ResolvedConfig<Handle>, time: Time, onStopped: (part: PartStatus) => void) {
    this.#config = config
    this.#time = time
    this.#onStopped = onStopped
    const { clock } = time
    this.#lifecycle = new Lifecycle(
      () => this.#start(),
      () => this.#stop(),
    )
    this.#backlog = new Backlog(config, clock, () => this.#open())
    this.#waking = new Waking({
      config,
      clock,
      bell: () => this.#store?.bell ?? null,
      running: () => this.#running,
    })
    this.#pending = new PendingPublishes({
      committed: (channel) => this.#waking.published(channel, true),
      unknown: (channel) => this.#waking.published(channel, false),
    })
    this.publish = createPublish({
      writer: {
        append: (transaction, channel, messages, delay) =>
          this.#open().writer.append(transaction, channel, messages, delay),
      },
      targets: config.routes,
      executorFor,
      admit: (channel, count) => this.#backlog.admit(channel, count),
      // Of a caller's transaction nothing tells the commit: relays look in quick steps for a moment (PROTOCOLS 8).
      onAppended: ({ transaction, channel }) => {
        if (!this.#pending.isWatched(transaction)) this.#waking.published(channel, false)
      },
      onStarted: (started) => this.#pending.note(started),
      middleware: this.#middleware.publish,
    })
    const { transports, settings, logger } = config
    const desk = {
      store: () => this.#open(),
      logger,
      expiresAfterMs: (channel: string) => config.routes.get(channel)?.channel.expiresAfterMs,
      onReturned: () => this.#waking.tellAll(),
    }
    const known = new KnownSchema(() => this.#open().schema.check())
    this.deadLetters = known.guard(createDeadLetterDesk(desk))
    this.keys = known.guard(createKeyDesk(desk))
    this.sent = known.guard(createSentDesk({ ...desk, clock }))
    this.subscriptions = known.guard(createSubscriptionDesk(desk))
    this.cleanup = known.guard(createCleanupDesk(desk.store, settings, clock))
    this.partitions = known.guard(createPartitionDesk(config, desk.store))
    this.#looking = known.guard({ inspect: () => this.#inspect() })
    this.drain = createDrain(config, desk.store, () => this.status())
    const { applicationName, source } = settings
    this.#transports = new OpenTransports(transports, { logger, applicationName, source })
    this.#sends = new Sends({
      config,
      transports: this.#transports,
      storing: () => ({
        // Opened at each use: a stop in between closes the store.
        writer: this.#backlog.writer,
        transactions: { run: (...work) => this.#runner(this.#open()).run(...work) },
      }),
      onStored: (transport) => this.#waking.tell({ transport, isCommitted: true }),
      mustCompile: () => void this.#plans(),
    })
    this.send = createSend({
      targets: config.routes,
      outletFor: (channel) => this.#sends.outletFor(channel),
      middleware: this.#middleware.publish,
      deadlineMs: settings.sendDeadlineMs,
    })
  }

  async transaction<T>(work: (tx: Handle) => Promise<T>, options: TransactionOptions = {}): Promise<T> {
    if (typeof work !== 'function') {
      throw new WaybillError('WB_INVALID_OPTION', 'transaction(work) takes a function: async (tx) => { … }.')
    }
    const runner = this.#runner(this.#open())
    const idleTimeoutMs = this.#config.settings.handlerTimeoutMs
    return await runner.run({ idleTimeoutMs, ...options }, ({ handle }) => work(handle as Handle))
  }

  use(middleware: Middleware): void {
    this.#middleware.add(middleware)
  }

  consume(
    channel: SomeChannel,
    options: ConsumeOptions | BatchConsumeOptions | TransformConsumeOptions,
    handler: Registration['handler'],
  ): void {
    const { isRunning } = this.#lifecycle
    const registration = registrationOf(this.#config, channel, options, handler)
    refuseRegistration(registration, this.#registrations, isRunning)
    this.#registrations.push(registration)
  }

  async migrate(): Promise<readonly number[]> {
    const { schema, sent } = this.#open()
    const applied = await schema.migrate()
    await this.#register()
    if (this.#config.settings.retainMs > 0) await sent.prepare()
    return applied
  }

  printMigrations(): string {
    return this.#open().schema.print()
  }

  start(): Promise<void> {
    return this.#lifecycle.start()
  }

  async stop(): Promise<void> {
    try {
      await this.#lifecycle.stop()
    } finally {
      // Also where it only published and was never started: its pool would keep the process alive. Not where somebody has
      // called `start()` meanwhile: the store is then in use again.
      if (this.#lifecycle.isAtRest) await this.#closeAll()
    }
  }

  async run(signal?: AbortSignal): Promise<void> {
    const stopping = untilSignal(this.#config.logger, signal)
    try {
      await this.start()
      await stopping.promise
    } finally {
      await this.stop()
      stopping.dispose()
    }
  }

  status(): WaybillStatus {
    const parts = this.#running.map((part) => part.status())
    if (this.#backlog.isUsed) parts.push({ kind: 'backlog', channels: this.#backlog.status() })
    if (this.#sends.isUsed) parts.push({ kind: 'sends', counters: this.#sends.counters })
    return { isRunning: this.#lifecycle.isRunning, parts }
  }

  inspect(): Promise<StatusSummary> {
    return this.#looking.inspect()
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop()
  }

  /** Throws `WB_GUARANTEE_UNSUPPORTED` where a channel's guarantee cannot hold: nothing starts then. */
  #plans(): ReadonlyMap<string, Plan> {
    const consumers = this.#registrations.map(({ route, facts }) => ({ channel: route.channel.name, facts }))
    const plans = plansOf(this.#config, consumers)
    refuseMixedTransforms(this.#registrations)
    return plans
  }

  async #start(): Promise<void> {
    const plans = this.#plans()
    for (const { channel, warnings } of plans.values()) {
      for (const warning of warnings) this.#config.logger.warn({ channel }, warning)
    }
    const isStoreless = this.#config.store === undefined
    await startMonitors(this.#config, {
      consumers: this.#registrations.map(({ consumer }) => consumer),
      store: isStoreless ? null : this.#open(),
      running: this.#running,
      isServing: () => this.#lifecycle.isRunning,
    })
    if (isStoreless && this.#registrations.length === 0) return
    const transports = this.#transports
    const common = {
      config: this.#config,
      plans,
      transports,
      middleware: this.#middleware,
      ...this.#time,
    }
    if (isStoreless && this.#registrations.every(({ facts }) => facts.transforms)) {
      const { transactions, ...store } = withoutStore()
      await startConsumers({ ...common, store, transactions }, this.#registrations, this.#running)
      return
    }
    const store = this.#open()
    await store.schema.check()
    warnOfPartitions(await this.#register(), this.#config)
    this.#running.push(watchedPlaces(store, transports))
    const parts = { ...common, store, transactions: this.#runner(store) }
    startCleanup(parts, this.#running)
    if (this.#config.runsRelay) await startRelays(parts, this.#running)
    await startConsumers(parts, this.#registrations, this.#running)
    this.#waking.listen(parts)
  }

  async #stop(): Promise<void> {
    const failures: unknown[] = []
    for (let part = this.#running.pop(); part !== undefined; part = this.#running.pop()) {
      // One after another each could take its whole time, and the last would take on work until its turn.
      const others = part.isWorker === true ? this.#running.filter(({ isWorker }) => isWorker === true) : []
      for (const other of others) this.#running.splice(this.#running.indexOf(other), 1)
      await Promise.all(
        [part, ...others].map(async (each) => {
          await each.stop().catch((error: unknown) => failures.push(error))
          this.#onStopped(each.status())
        }),
      )
    }
    // After everything that uses them.
    await this.#sends.close(this.#config.settings.stopTimeoutMs)
    await this.#transports.closeAll().catch((error: unknown) => failures.push(error))
    if (failures.length > 0) throw failures[0]
  }

  async #inspect(): Promise<StatusSummary> {
    const report = await this.#open().census.look(censusRequest)
    return summarise(report, new Set(this.#config.routes.keys()))
  }

  async #register(): Promise<readonly DifferingPartitions[]> {
    const { channels, subscriptions } = registeredOf(this.#config, this.#registrations)
    return await this.#open().schema.register(channels, subscriptions, this.#config.settings.partitions)
  }

  /** Transactions whose client `publish` knows, and which end only when every publish in them has been sent. */
  #runner(store: Store): TransactionRunner {
    return this.#pending.watch(bindTransactions(store.transactions))
  }

  #open(): Store {
    const { store, settings, logger } = this.#config
    if (store === undefined) {
      throw new WaybillError(
        'WB_INVALID_CONFIG',
        'The configuration has no `store`: only send() and transforms work without one. Give it one such as postgresStore({ … }).',
      )
    }
    this.#store ??= store.open({ logger, ...settings })
    return this.#store
  }

  /** Also what was opened only to send. */
  async #closeAll(): Promise<void> {
    await this.#sends.close(this.#config.settings.stopTimeoutMs)
    await this.#transports.closeAll()
    await this.#waking.flush()
    // At the very end: a publish after it begins to count anew, and must do so on a store that is not closed.
    await this.#backlog.stop()
    const store = this.#store
    this.#store = null
    await store?.close()
  }
}
