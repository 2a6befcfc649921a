import type { Clock, Random } from '../kernel/clock.ts'
import type { Lane } from '../ports/lane.ts'
import type { Store } from '../ports/store.ts'
import type { TransactionRunner } from '../ports/transaction-runner.ts'
import type { Publisher } from '../ports/transport.ts'
import type { ChannelRules } from '../relay/mind/types.ts'
import { Relay } from '../relay/relay.ts'
import type { Sender } from '../relay/sender.ts'
import type { ChannelRoute, ResolvedConfig } from './config.ts'
import type { OpenTransports } from './open-transports.ts'
import type { Running } from './running.ts'
import type { Settings } from './settings.ts'

/** What the parts of a running instance share. */
export interface Parts {
  readonly config: ResolvedConfig
  readonly store: Store
  /** The store's, with what the app adds around each transaction. */
  readonly transactions: TransactionRunner
  readonly transports: OpenTransports
  readonly clock: Clock
  readonly random: Random
}

/** A relay for each broker transport that a channel uses. */
export async function startRelays(parts: Parts, running: Running[]): Promise<void> {
  for (const [name, { capabilities }] of parts.config.transports) {
    const routes = [...parts.config.routes.values()].filter(
      ({ transport, channel }) => transport === name && channel.isStored,
    )
    if (capabilities.isLocal || routes.length === 0) continue
    const publisher = await parts.transports.publisher(name)
    running.push({
      stop: () => publisher.close(),
      wake() {},
      status: () => ({ kind: 'transports', names: [name] }),
    })
    await startRelay(
      parts,
      { transport: name, consumer: '' },
      routes,
      publisherSender(publisher, routes),
      running,
    )
  }
}

/** Starts the relay of one lane. */
export async function startRelay(
  parts: Parts,
  lane: Lane,
  routes: readonly ChannelRoute[],
  sender: Sender,
  running: Running[],
): Promise<void> {
  const { settings, logger } = parts.config
  const { capabilities } = parts.transports.get(lane.transport)
  const relay = new Relay({
    lane,
    store: parts.store,
    sender,
    leaseMs: settings.leaseMs,
    stopTimeoutMs: settings.stopTimeoutMs,
    clock: parts.clock,
    random: parts.random,
    logger,
    mind: {
      channels: new Map(routes.map(({ channel }) => [channel.name, rulesOf(channel, parts.config)])),
      ordersBatch: capabilities.ordersBatch,
      batchSize: capabilities.isLocal ? settings.consumerBatchSize : settings.batchSize,
      readLimit: settings.readLimit,
      lateLimit: settings.readLimit,
      maxInFlight: settings.maxInFlight,
      maxInFlightBytes: settings.maxInFlightBytes,
      maxKeyBacklog: 2 * settings.batchSize,
      maxSends: settings.maxSends,
      removeLimit: 5 * settings.batchSize,
      sendTimeoutMs: capabilities.isLocal ? handlingTimeoutMs(settings) : settings.publishTimeoutMs,
      poll: { initialMs: settings.pollMinMs, maxMs: settings.pollMaxMs },
      hold: { initialMs: settings.holdInitialMs, maxMs: settings.holdMaxMs },
    },
  })
  await relay.start()
  running.push({
    stop: () => relay.stop(),
    wake: () => relay.wake(),
    status: () => ({ kind: 'relay', relay: relay.status() }),
  })
}

/** A little more than one handler may take, and less than what is left of a lease that is renewed at a third of it. */
function handlingTimeoutMs({ handlerTimeoutMs, leaseMs }: Settings): number {
  return Math.max(handlerTimeoutMs, Math.min(handlerTimeoutMs * 1.2, leaseMs * 0.65))
}

function rulesOf(channel: ChannelRoute['channel'], config: ResolvedConfig): ChannelRules {
  const { maxAttempts, retryInitialMs, retryMaxMs } = config.settings
  return {
    form: 'confirm',
    ordered: channel.ordered,
    maxAttempts: channel.maxAttempts ?? maxAttempts,
    retry: { initialMs: retryInitialMs, maxMs: retryMaxMs },
  }
}

function publisherSender(publisher: Publisher, routes: readonly ChannelRoute[]): Sender {
  const addresses = new Map(routes.map(({ channel, address }) => [channel.name, address]))
  return {
    send: (rows, timeoutMs) => {
      const batch = rows.map((envelope) => ({
        envelope,
        address: addresses.get(envelope.channel) ?? envelope.channel,
      }))
      return publisher.publish(batch, timeoutMs)
    },
  }
}
