import type { Clock, Random } from '../kernel/clock.ts'
import type { Plan } from '../guarantees/plan.ts'
import type { Lane } from '../ports/lane.ts'
import type { Store } from '../ports/store.ts'
import type { TransactionRunner } from '../ports/transaction-runner.ts'
import type { ChannelRules, MindOptions } from '../relay/mind/types.ts'
import { Relay } from '../relay/relay.ts'
import { relayCheck } from './health-checks.ts'
import type { ChannelRoute, ResolvedConfig } from './config.ts'
import type { MiddlewareStack } from './middleware.ts'
import type { OpenTransports } from './open-transports.ts'
import { openSenders, type Senders } from './relay-senders.ts'
import type { Running } from './running.ts'
import type { Settings } from './settings.ts'

/** What the parts of a running instance share. */
export interface Parts {
  readonly config: ResolvedConfig
  /** What each channel was compiled to, by its name. */
  readonly plans: ReadonlyMap<string, Plan>
  readonly store: Store
  /** The store's, with what the app adds around each transaction. */
  readonly transactions: TransactionRunner
  readonly transports: OpenTransports
  readonly middleware: MiddlewareStack
  readonly clock: Clock
  readonly random: Random
}

/**
 * At-most-once rows of a local consumer that are taken together. Few: what a stop or a crash finds taken and not yet handled
 * is lost.
 */
export const takenTogether = 20

/** A relay for each broker transport that a channel uses. */
export async function startRelays(parts: Parts, running: Running[]): Promise<void> {
  for (const [name, { capabilities }] of parts.config.transports) {
    const routes = [...parts.config.routes.values()].filter(
      ({ transport, channel }) => transport === name && channel.isStored,
    )
    if (capabilities.isLocal || routes.length === 0) continue
    const forms = new Map(routes.map(({ channel }) => [channel.name, relayFormOf(parts, channel.name)]))
    const lane = { transport: name, consumer: '' }
    const senders = await openSenders(parts, name, routes, forms, running)
    const { publishTimeoutMs } = parts.config.settings
    await startRelay(parts, { lane, routes, forms, senders, sendTimeoutMs: publishTimeoutMs }, running)
  }
}

/** What a relay is to do: its lane, the channels of it that are handled here, and what it sends with. */
export interface LaneWork {
  readonly lane: Lane
  readonly routes: readonly ChannelRoute[]
  /** By channel name. */
  readonly forms: ReadonlyMap<string, ChannelRules['form']>
  readonly senders: Senders
  readonly sendTimeoutMs: number
  /** @default the setting `maxSends`, all of which may be of messages that have not failed before */
  readonly sends?: Pick<MindOptions, 'maxSends' | 'maxFreshSends'> | undefined
}

/** Starts the relay of one lane. */
export async function startRelay(parts: Parts, work: LaneWork, running: Running[]): Promise<Relay> {
  const { lane, routes, forms, senders, sendTimeoutMs } = work
  const { settings, logger } = parts.config
  const { capabilities } = parts.transports.get(lane.transport)
  const relay = new Relay({
    lane,
    store: parts.store,
    ...senders,
    leaseMs: settings.leaseMs,
    stopTimeoutMs: settings.stopTimeoutMs,
    clock: parts.clock,
    random: parts.random,
    logger,
    mind: {
      channels: new Map(
        routes.map(({ channel }) => [
          channel.name,
          rulesOf(channel, forms.get(channel.name)!, settings, capabilities.isLocal),
        ]),
      ),
      ordersBatch: capabilities.ordersBatch,
      batchSize: capabilities.isLocal ? settings.consumerBatchSize : settings.batchSize,
      readLimit: settings.readLimit,
      // A look at a row that is held takes the server some ten microseconds: a quarter of a second.
      lookLimit: 20_000,
      lateLimit: settings.readLimit,
      maxInFlight: settings.maxInFlight,
      maxInFlightBytes: settings.maxInFlightBytes,
      maxKeyBacklog: 2 * settings.batchSize,
      ...(work.sends ?? { maxSends: settings.maxSends }),
      removeLimit: 5 * settings.batchSize,
      sendTimeoutMs,
      poll: { initialMs: settings.pollMinMs, maxMs: settings.pollMaxMs },
      hold: { initialMs: settings.holdInitialMs, maxMs: settings.holdMaxMs },
    },
  })
  await relay.start()
  const check = relayCheck(lane, () => relay.status(), settings)
  running.push({
    isWorker: true,
    stop: () => relay.stop(),
    wake: ({ transport, isCommitted }) => {
      if (transport !== lane.transport) return
      if (isCommitted) relay.wake()
      else relay.hint()
    },
    status: () => ({ kind: 'relay', relay: relay.status() ?? relay.last }),
    checks: () => [check],
  })
  return relay
}

function rulesOf(
  channel: ChannelRoute['channel'],
  form: ChannelRules['form'],
  settings: Settings,
  isLocal: boolean,
): ChannelRules {
  const { maxAttempts, retryInitialMs, retryMaxMs } = settings
  return {
    form,
    ordered: channel.ordered,
    maxAttempts: channel.maxAttempts ?? maxAttempts,
    retry: { initialMs: retryInitialMs, maxMs: retryMaxMs },
    onPoison: channel.onPoison,
    ...(channel.expiresAfterMs === undefined ? {} : { expiresAfterMs: channel.expiresAfterMs }),
    ...(form === 'take' && isLocal ? { batchSize: takenTogether } : {}),
    ...(form === 'fence' ? { batchSize: settings.fencedBatchSize } : {}),
  }
}

function relayFormOf({ plans }: Parts, channel: string): ChannelRules['form'] {
  const relay = plans.get(channel)?.relay
  // The others have no rows at a broker's relay: 'none' is not stored, 'handlers' is local.
  return relay === 'take' || relay === 'fence' ? relay : 'confirm'
}
