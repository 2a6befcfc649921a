import { execFile } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { promisify } from 'node:util'
import { afterAll, afterEach, beforeAll, onTestFinished } from 'vitest'
import { newMessageId } from '../../../src/kernel/ids.ts'
import { silentLogger, type Logger } from '../../../src/kernel/logger.ts'
import { headersFrom, type Envelope } from '../../../src/kernel/message.ts'
import type {
  Delivery,
  Fate,
  OutboundMessage,
  Publisher,
  SubscribeRequest,
  Subscription,
  Transport,
} from '../../../src/ports/transport.ts'
import { kafkaClasspath } from '../../../src/testing/kafka-jars.ts'
import { startKafka, type KafkaServer } from '../../../src/testing/kafka-server.ts'
import { freePort } from '../../../src/testing/ports.ts'
import { startProxy, type Proxy } from '../../../src/testing/proxy.ts'
import type { KafkaTransportOptions } from '../../../src/transports/kafka/options.ts'
import { kafkaTransport } from '../../../src/transports/kafka/transport.ts'

export interface ProxiedKafka {
  readonly server: KafkaServer
  readonly proxy: Proxy
  /** Where clients connect: the proxy, which is also what the broker calls itself. */
  readonly brokers: readonly string[]
}

/**
 * A broker of these tests' own whose clients can reach it only through a proxy, which is healed after each test. To be called
 * where the tests are described.
 */
export function proxiedKafka(settings: Readonly<Record<string, string>> = {}): ProxiedKafka {
  let started: ProxiedKafka | undefined
  beforeAll(async () => {
    const port = await freePort()
    const proxy = await startProxy({ port })
    const advertised = { 'advertised.listeners': `PLAINTEXT://127.0.0.1:${proxy.port}` }
    const server = await startKafka({ port, settings: { ...settings, ...advertised } })
    started = { server, proxy, brokers: [`127.0.0.1:${proxy.port}`] }
  })
  afterEach(() => started?.proxy.heal())
  afterAll(async () => {
    await started?.proxy.stop()
    await started?.server.stop()
  })
  return {
    get server() {
      return started!.server
    },
    get proxy() {
      return started!.proxy
    },
    get brokers() {
      return started!.brokers
    },
  }
}

/** Broker settings for tests in which members of a group are lost. With the `consumer` protocol the broker says how often. */
export const quickGroups = {
  'group.min.session.timeout.ms': '500',
  'group.consumer.min.session.timeout.ms': '500',
  'group.consumer.session.timeout.ms': '600',
  'group.consumer.min.heartbeat.interval.ms': '100',
  'group.consumer.heartbeat.interval.ms': '200',
}

export const groupProtocols = ['classic', 'consumer'] as const

export function openTransport(
  brokers: readonly string[],
  options: Partial<KafkaTransportOptions> = {},
  logger: Logger = silentLogger,
): Transport {
  const transport = kafkaTransport({ brokers, ...options }).open({
    logger,
    applicationName: 'waybill test',
    source: '/test',
  })
  onTestFinished(() => transport.close())
  return transport
}

export async function openPublisher(
  brokers: readonly string[],
  options?: Partial<KafkaTransportOptions>,
): Promise<Publisher> {
  return openTransport(brokers, options).openPublisher!()
}

export async function subscribe(
  transport: Transport,
  topics: readonly string[],
  request: Partial<SubscribeRequest> = {},
): Promise<Subscription> {
  return transport.subscribe!({
    consumer: `group-${randomUUID()}`,
    channels: topics.map((address) => ({ channel: address, address })),
    onRevoked: () => {},
    ...request,
  })
}

export function newTopic(): string {
  return `topic-${randomUUID()}`
}

export function messageTo(
  address: string,
  key: string | null,
  more: Partial<Envelope> = {},
): OutboundMessage {
  return {
    address,
    envelope: {
      id: newMessageId(),
      channel: address,
      key,
      payload: Buffer.from('{}'),
      contentType: 'application/json',
      headers: headersFrom([]),
      createdAt: new Date(),
      ...more,
    },
  }
}

/** `count` messages with payloads that count up, over the keys in turn. */
export function messagesTo(
  address: string,
  keys: readonly (string | null)[],
  count: number,
): OutboundMessage[] {
  return Array.from({ length: count }, (_, i) =>
    messageTo(address, keys[i % keys.length]!, { payload: Buffer.from(String(i)) }),
  )
}

export function outcomes(fates: readonly Fate[]): string[] {
  return fates.map((fate) => (fate.outcome === 'rejected' ? `rejected: ${fate.code}` : fate.outcome))
}

export function codeOf(fate: Fate | undefined): string {
  return fate === undefined || fate.outcome === 'confirmed' ? '' : fate.code
}

/** Receives until `isEnough`; what was received is not settled. */
export async function receiveUntil(
  subscription: Subscription,
  isEnough: (deliveries: readonly Delivery[]) => boolean,
  timeoutMs = 30_000,
): Promise<Delivery[]> {
  const deliveries: Delivery[] = []
  const signal = AbortSignal.timeout(timeoutMs)
  while (!isEnough(deliveries)) {
    const next = await subscription.receive(500, signal)
    if (next.length === 0)
      throw new Error(`Only ${deliveries.length} deliveries came within ${timeoutMs} ms.`)
    deliveries.push(...next)
  }
  return deliveries
}

export function receiveCount(
  subscription: Subscription,
  count: number,
  timeoutMs?: number,
): Promise<Delivery[]> {
  return receiveUntil(subscription, ({ length }) => length >= count, timeoutMs)
}

export function idsOf(things: readonly { readonly envelope: Envelope | null }[]): string[] {
  return things.map(({ envelope }) => envelope?.id ?? '')
}

export function textOf({ envelope }: { readonly envelope: Envelope | null }): string {
  return Buffer.from(envelope?.payload ?? []).toString()
}

/** What one of Java's own console tools prints. */
export async function java(main: string, args: readonly string[], input = ''): Promise<string> {
  const flags = [
    '-Dorg.slf4j.simpleLogger.defaultLogLevel=off',
    '-XX:TieredStopAtLevel=1',
    '-cp',
    await kafkaClasspath(),
  ]
  const running = promisify(execFile)('java', [...flags, `org.apache.kafka.tools.${main}`, ...args], {
    maxBuffer: 1 << 26,
  })
  running.child.stdin!.end(input)
  return (await running).stdout
}
