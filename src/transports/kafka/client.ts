import type * as Kafka from '@platformatic/kafka'
import type { BaseOptions, Consumer, FetchOptions } from '@platformatic/kafka'
import { WaybillError } from '../../kernel/errors.ts'
import type { KafkaSettings } from './options.ts'

/** The client library, as it is loaded at run time. */
export type KafkaLibrary = typeof Kafka

export type FetchResponse = Awaited<ReturnType<Consumer['fetch']>>
export type FetchRequestTopic = FetchOptions<Buffer, Buffer, Buffer, Buffer>['topics'][number]

/** The library is an optional peer: it is loaded when a publisher or a subscription opens, not with the package. */
export async function loadKafka(): Promise<KafkaLibrary> {
  try {
    return await import('@platformatic/kafka')
  } catch (cause) {
    throw new WaybillError(
      'WB_PEER_MISSING',
      'The Kafka client is not installed: npm install @platformatic/kafka',
      { cause },
    )
  }
}

let clients = 0

/**
 * The library asks the first of them first, whatever became of that before: each client has another one there, or a broker that hangs
 * would be the end of all others (a client that got nowhere is made anew).
 */
function turned(brokers: readonly string[]): string[] {
  const first = clients++ % brokers.length
  return [...brokers.slice(first), ...brokers.slice(0, first)]
}

/** What every client of this transport shares. Each client adds its own retries: what is right differs. */
export function clientOptions(settings: KafkaSettings, applicationName: string): BaseOptions {
  const { brokers, clientId, requestTimeoutMs, tls, sasl } = settings
  return {
    clientId: clientId ?? (applicationName.replaceAll(/\s+/gu, '-') || 'waybill'),
    bootstrapBrokers: turned(brokers),
    // Below what a send may take, so that there is time left for another broker.
    connectTimeout: Math.min(requestTimeoutMs, 3000),
    requestTimeout: requestTimeoutMs,
    // Topics are made by `TopicDesk`, which knows their partitions; never by asking for them.
    autocreateTopics: false,
    ...(tls === undefined ? {} : { tls }),
    ...(sasl === undefined ? {} : { sasl }),
  }
}
