import { compile } from '../guarantees/compile.ts'
import type {
  ChannelFacts,
  CompileInput,
  ConsumerFacts,
  Plan,
  Refusal,
  StoreFacts,
  WindowFacts,
} from '../guarantees/plan.ts'
import { refusalText } from '../guarantees/refusals.ts'
import { WaybillError } from '../kernel/errors.ts'
import type { ChannelRoute, ResolvedConfig } from './config.ts'
import type { Settings } from './settings.ts'

/** A registered handler, as far as the compiler is concerned. */
export interface PlannedConsumer {
  /** Name of the channel it handles. */
  readonly channel: string
  readonly facts: ConsumerFacts
}

/** What `compile` is told of each channel of the configuration, in its order. */
export function compileInputs(
  config: ResolvedConfig,
  consumers: readonly PlannedConsumer[],
): readonly CompileInput[] {
  const { store, transports, routes, settings } = config
  return [...routes.values()].map((route) => {
    const { kind, capabilities } = transports.get(route.transport)!
    return {
      channel: channelFacts(route, routes.values()),
      store: store === undefined ? noStore : { kind: store.kind, capabilities: store.capabilities },
      transport: { name: route.transport, kind, capabilities },
      consumers: consumers.filter(({ channel }) => channel === route.channel.name).map(({ facts }) => facts),
      windows: windowFacts(settings),
    }
  })
}

/**
 * The plan of every channel, by its name. Nothing starts without: throws `WB_GUARANTEE_UNSUPPORTED` where one is refused, with
 * every refusal and the nearest choice that holds.
 */
export function plansOf(
  config: ResolvedConfig,
  consumers: readonly PlannedConsumer[],
): ReadonlyMap<string, Plan> {
  const plans = new Map<string, Plan>()
  const refusals: Refusal[] = []
  for (const input of compileInputs(config, consumers)) {
    const verdict = compile(input)
    if (verdict.kind === 'plan') plans.set(verdict.channel, verdict)
    else refusals.push(verdict)
  }
  if (refusals.length > 0) {
    throw new WaybillError('WB_GUARANTEE_UNSUPPORTED', refusals.map(refusalText).join('\n'))
  }
  return plans
}

/** Of a service that only sends or transforms. Who stores on its channels has an order of commits, or is told so there. */
const noStore: StoreFacts = {
  kind: 'no store',
  capabilities: { ordersCommits: true, takes: false, hasInbox: false, hasCheckpoints: false },
}

function channelFacts(
  { channel, transport, address }: ChannelRoute,
  routes: Iterable<ChannelRoute>,
): ChannelFacts {
  const {
    name,
    guarantee,
    ordered,
    isStored,
    maxAttempts,
    onPoison,
    expiresAfterMs,
    backlogLimit,
    consumers,
  } = channel
  const sharesAddressWith = [...routes]
    .filter(
      (other) => other.transport === transport && other.address === address && other.channel !== channel,
    )
    .map((other) => ({ name: other.channel.name, guarantee: other.channel.guarantee }))
  return {
    name,
    guarantee,
    ordered,
    isStored,
    sharesAddressWith,
    maxAttempts,
    onPoison,
    expiresAfterMs,
    backlogLimit,
    declaredConsumers: consumers,
  }
}

function windowFacts(settings: Settings): WindowFacts {
  const { leaseMs, publishTimeoutMs, sendDeadlineMs, inboxRetentionMs, retainMs } = settings
  const { maxAttempts, retryInitialMs, retryMaxMs } = settings
  return {
    leaseMs,
    publishTimeoutMs,
    sendDeadlineMs,
    inboxRetentionMs,
    retainMs,
    maxAttempts,
    retryInitialMs,
    retryMaxMs,
  }
}
