import { WaybillError } from '../kernel/errors.ts'
import { BrokerConsumer } from '../consumer/broker-consumer.ts'
import type { BrokerConsumerOptions } from '../consumer/consumer-options.ts'
import type { ConsumerEvent } from '../consumer/events.ts'
import type { BatchHandler, Handler, HandlerEntry } from '../consumer/handler.ts'
import { createEntry } from '../consumer/handler-entry.ts'
import { createLocalOnce } from '../consumer/local-once.ts'
import { createLocalSender } from '../consumer/local-sender.ts'
import { Replayer } from '../consumer/replayer.ts'
import {
  createTransformEntry,
  type OutputTarget,
  type TransformHandler,
} from '../consumer/transform-entry.ts'
import type { Store } from '../ports/store.ts'
import type { SubscribeRequest, Subscription } from '../ports/transport.ts'
import type { CheckedOptions } from './consume-options.ts'
import type { ChannelRoute } from './config.ts'
import { consumerCheck } from './health-checks.ts'
import { type Parts, startRelay, takenTogether } from './relays.ts'
import type { Relay } from '../relay/relay.ts'
import type { ConsumerCounters, Running } from './running.ts'
import type { Settings } from './settings.ts'
import type { ConsumerStore } from './transforms.ts'

/** A handler, and what it is for. */
export interface Registration extends CheckedOptions {
  readonly consumer: string
  readonly route: ChannelRoute
  readonly handler: Handler<never, never> | BatchHandler<never, never> | TransformHandler<never>
  /** What a transform may put out; empty where it is none. */
  readonly targets: ReadonlyMap<string, OutputTarget>
}

/**
 * After a start, this many messages of each stream run alone and are counted before they run: one that ends its process is
 * among them soon, and so becomes a dead letter (O6).
 */
const cautious = 4

/** What consumers are started with: the whole store, or what there is without one. */
export type ConsumerParts = Omit<Parts, 'store'> & { readonly store: Store | ConsumerStore }

/**
 * The position of a stream moves in the broker's transaction or outside it, so a consumer cannot have both at one address. Throws
 * `WB_GUARANTEE_UNSUPPORTED`.
 */
export function refuseMixedTransforms(registrations: readonly Registration[]): void {
  const streams = Map.groupBy(
    registrations,
    ({ consumer, route }) => `${consumer}\0${route.transport}\0${route.address}`,
  )
  for (const sharing of streams.values()) {
    const other = sharing.find(({ facts }) => !facts.transforms)
    const transform = sharing.find(({ facts }) => facts.transforms)
    if (other === undefined || transform === undefined) continue
    throw new WaybillError(
      'WB_GUARANTEE_UNSUPPORTED',
      `Consumer "${other.consumer}" transforms channel "${transform.route.channel.name}" and handles channel ` +
        `"${other.route.channel.name}" at the same address "${other.route.address}": the broker keeps one position for both. ` +
        'Give one of the channels an address of its own, or its handler another consumer.',
    )
  }
}

/** Starts every consumer: one subscription, or one local lane, for each consumer and transport. */
export async function startConsumers(
  parts: ConsumerParts,
  registrations: readonly Registration[],
  running: Running[],
): Promise<void> {
  const groups = Map.groupBy(registrations, ({ consumer, route }) => `${route.transport}\0${consumer}`)
  for (const group of groups.values()) {
    const { consumer, route } = group[0]!
    const transport = parts.transports.get(route.transport)
    const counters = new Counters()
    const options = optionsFor(parts, consumer, group, counters)
    // Over a local transport it is the relay that gives up on a message.
    let relay: Relay | undefined
    const describe: Running['status'] = () => {
      const own = counters.copy()
      const dead = own.dead + (relay?.status()?.counters.buried ?? 0)
      return { kind: 'consumer', consumer, transport: route.transport, counters: { ...own, dead } }
    }
    const replayer = replayerFor(parts, options)
    if (transport.capabilities.isLocal) {
      const { store } = parts
      if (!('openOutbox' in store))
        throw new WaybillError('WB_INVALID_CONFIG', 'A local consumer needs a store.')
      const routes = group.map((each) => each.route)
      const forms = new Map(
        [...options.handlers].map(
          ([name, { form }]) => [name, form === 'settle-first' ? 'take' : 'confirm'] as const,
        ),
      )
      running.push({ isWorker: true, stop: async () => replayer?.stop(), wake() {}, status: describe })
      const lane = { transport: route.transport, consumer }
      const slowest = slowestOf(group)
      const senders = {
        sender: createLocalSender(options),
        once: createLocalOnce(options),
        // What was taken is nobody else's: each of its handlers may take its time.
        onceTimeoutMs: takenTogether * slowest,
      }
      const sendTimeoutMs = handlingTimeoutMs(slowest, parts.config.settings)
      // Sends side by side would multiply what each of them handles side by side; but a retry that hangs must not keep all others (P7).
      const sends = group.some(({ facts }) => facts.concurrency > 1)
        ? { maxSends: 2, maxFreshSends: 1 }
        : undefined
      const work = { lane, routes, forms, senders, sendTimeoutMs, sends }
      relay = await startRelay({ ...parts, store }, work, running)
      replayer?.start()
      continue
    }
    const subscribe = (request: SubscribeRequest): Promise<Subscription> => {
      if (transport.subscribe !== undefined) return transport.subscribe(request)
      throw new WaybillError('WB_INVALID_CONFIG', `Transport "${route.transport}" cannot consume.`)
    }
    const own = new BrokerConsumer({ ...options, subscribe })
    const check = consumerCheck(consumer, () => ({ isMember: own.isMember, trouble: counters.trouble }))
    running.push({
      isWorker: true,
      stop: async () => void (await Promise.all([own.stop(), replayer?.stop()])),
      wake() {},
      status: describe,
      checks: () => [check],
    })
    await own.start()
    replayer?.start()
  }
}

/** Replays are rare: a consumer looks for them so many times less often than a relay for messages. */
const looksBetween = 4

/** Without a store nothing is kept that could be replayed. */
function replayerFor(
  { store, config }: ConsumerParts,
  options: Omit<BrokerConsumerOptions, 'subscribe'>,
): Replayer | undefined {
  if (!('replays' in store)) return undefined
  return new Replayer({
    ...options,
    replays: store.replays,
    intervalMs: config.settings.pollMaxMs * looksBetween,
  })
}

function optionsFor(
  parts: ConsumerParts,
  consumer: string,
  group: readonly Registration[],
  counters: Counters,
): Omit<BrokerConsumerOptions, 'subscribe'> {
  const { settings, logger } = parts.config
  const handlers = group.map((each) => [each.route.channel.name, entryOf(parts, each)] as const)
  return {
    consumer,
    handlers: new Map(handlers),
    inbox: parts.store.inbox,
    checkpoints: parts.store.checkpoints,
    transactions: parts.transactions,
    batchSize: settings.consumerBatchSize,
    window: settings.consumerWindow,
    cautious,
    maxAttempts: settings.maxAttempts,
    retry: { initialMs: settings.retryInitialMs, maxMs: settings.retryMaxMs },
    trouble: { initialMs: settings.holdInitialMs, maxMs: settings.holdMaxMs },
    handlerTimeoutMs: settings.handlerTimeoutMs,
    idleTimeoutMs: slowestOf(group) + 1000,
    settleTimeoutMs: settings.publishTimeoutMs,
    stopTimeoutMs: settings.stopTimeoutMs,
    clock: parts.clock,
    random: parts.random,
    logger,
    onEvent: (event) => counters.count(event),
  }
}

/**
 * More than one handler may take, by what a connection and the commit take, or a short handler's run would be given up before its own
 * time is over; and less than what is left of a lease that is renewed at a third of it.
 */
function handlingTimeoutMs(handlerTimeoutMs: number, { leaseMs }: Settings): number {
  const wanted = Math.max(handlerTimeoutMs * 1.2, handlerTimeoutMs + 2000)
  return Math.max(handlerTimeoutMs, Math.min(wanted, leaseMs * 0.65))
}

function slowestOf(group: readonly Registration[]): number {
  return Math.max(...group.map(({ facts }) => facts.handlerTimeoutMs))
}

function entryOf(
  { plans, middleware, store }: ConsumerParts,
  { consumer, route, handler, facts, isBatch, transform, targets }: Registration,
): HandlerEntry {
  // Without a store there is no place for what is given up.
  const channel = 'openOutbox' in store ? route.channel : { ...route.channel, maxAttempts: Infinity }
  const options = {
    channel,
    form: plans.get(channel.name)!.consumers[consumer]!,
    timeoutMs: facts.handlerTimeoutMs,
    concurrency: facts.concurrency,
  }
  if (transform !== undefined) {
    const own = { consumer, targets, handler: handler as TransformHandler, middleware: middleware.consume }
    return createTransformEntry({ ...options, ...own })
  }
  // Its types were checked where it was registered; here it stands among others of other types.
  return isBatch
    ? createEntry(options, {
        batch: true,
        handler: handler as BatchHandler,
        middleware: middleware.consumeBatch,
      })
    : createEntry(options, { handler: handler as Handler, middleware: middleware.consume })
}

class Counters implements ConsumerCounters {
  handled = 0
  duplicates = 0
  failed = 0
  dead = 0
  lost = 0
  unsettled = 0
  /** Code of the last error with store or broker, until something went well again. */
  trouble: string | null = null

  copy(): ConsumerCounters {
    const { handled, duplicates, failed, dead, lost, unsettled } = this
    return { handled, duplicates, failed, dead, lost, unsettled }
  }

  count(event: ConsumerEvent): void {
    if (event.type === 'handled') this.handled += event.count
    else if (event.type === 'duplicate') this.duplicates += event.count
    else if (event.type === 'failed') this.failed += 1
    else if (event.type === 'dead') this.dead += 1
    else if (event.type === 'lost') this.lost += 1
    else if (event.type === 'unsettled') this.unsettled += event.count
    if (event.type === 'unavailable') this.trouble = event.code
    else if (event.type === 'handled' || event.type === 'settled' || event.type === 'recovered')
      this.trouble = null
  }
}
