import type { StoreCapabilities, TransportCapabilities } from '../../src/kernel/capabilities.ts'
import type {
  ChannelFacts,
  CompileInput,
  ConsumerFacts,
  StoreFacts,
  TransportFacts,
  WindowFacts,
} from '../../src/guarantees/plan.ts'

const days7 = 604_800_000

const kafkaLike: TransportCapabilities = {
  ordersBatch: true,
  isLocal: false,
  maxBytes: 1_000_000,
  confirms: true,
  dispatches: true,
  fences: true,
  transforms: true,
  keepsOrder: true,
  settles: true,
  seeks: true,
  redeliveryMs: days7,
  deduplicatesMs: null,
  transactionTimeoutMs: 60_000,
  producerExpiryMs: days7,
}

/** Without fences, transforms and positions. */
const queue: TransportCapabilities = {
  ...kafkaLike,
  ordersBatch: false,
  fences: false,
  transforms: false,
  seeks: false,
  transactionTimeoutMs: null,
  producerExpiryMs: null,
}

export type FakeTransportKind = 'kafka' | 'local' | 'rabbitmq' | 'sqs-standard' | 'sqs-fifo' | 'udp'

const capabilities: Readonly<Record<FakeTransportKind, TransportCapabilities>> = {
  kafka: kafkaLike,
  local: { ...kafkaLike, isLocal: true, fences: false, transforms: false, seeks: false, redeliveryMs: 0 },
  rabbitmq: { ...queue, redeliveryMs: null },
  'sqs-standard': { ...queue, keepsOrder: false, redeliveryMs: 345_600_000 },
  'sqs-fifo': { ...queue, redeliveryMs: 345_600_000, deduplicatesMs: 300_000 },
  udp: { ...queue, confirms: false, settles: false, keepsOrder: false, redeliveryMs: 0 },
}

/** What an adapter of that kind declares, as far as `compile` is concerned. */
export function transportFacts(
  kind: FakeTransportKind,
  more: Partial<TransportCapabilities> = {},
): TransportFacts {
  return { name: kind, kind, capabilities: { ...capabilities[kind], ...more } }
}

export function storeFacts(
  kind: 'postgres' | 'mysql' = 'postgres',
  more: Partial<StoreCapabilities> = {},
): StoreFacts {
  const all = { ordersCommits: true, takes: true, hasInbox: true, hasCheckpoints: true }
  return { kind, capabilities: { ...all, ...more } }
}

export function channelFacts(more: Partial<ChannelFacts> = {}): ChannelFacts {
  return {
    name: 'orders',
    guarantee: 'at-least-once',
    ordered: false,
    isStored: true,
    sharesAddressWith: [],
    maxAttempts: undefined,
    onPoison: 'skip',
    expiresAfterMs: undefined,
    backlogLimit: undefined,
    declaredConsumers: {},
    ...more,
  }
}

export function consumerFacts(more: Partial<ConsumerFacts> = {}): ConsumerFacts {
  return {
    name: 'shipping',
    isIdempotent: false,
    form: undefined,
    transforms: false,
    concurrency: 1,
    handlerTimeoutMs: 10_000,
    ...more,
  }
}

/** The defaults of the settings table. */
export function windowFacts(more: Partial<WindowFacts> = {}): WindowFacts {
  return {
    leaseMs: 15_000,
    publishTimeoutMs: 5000,
    sendDeadlineMs: 30_000,
    inboxRetentionMs: 1_209_600_000,
    maxAttempts: 10,
    retryInitialMs: 200,
    retryMaxMs: 60_000,
    ...more,
  }
}

export interface FactsOf {
  readonly channel?: Partial<ChannelFacts>
  readonly store?: Partial<StoreCapabilities>
  readonly transport?: FakeTransportKind
  readonly capabilities?: Partial<TransportCapabilities>
  /** `[]`: nobody is registered here. */
  readonly consumers?: readonly Partial<ConsumerFacts>[]
  readonly windows?: Partial<WindowFacts>
}

/** A channel over Kafka with one consumer, unless told otherwise. */
export function facts(of: FactsOf = {}): CompileInput {
  return {
    channel: channelFacts(of.channel),
    store: storeFacts('postgres', of.store),
    transport: transportFacts(of.transport ?? 'kafka', of.capabilities),
    consumers: (of.consumers ?? [{}]).map((consumer) => consumerFacts(consumer)),
    windows: windowFacts(of.windows),
  }
}
