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

/** What every client of this transport shares. Each client adds its own retries: what is right differs. */
export function clientOptions(settings: KafkaSettings, applicationName: string): BaseOptions {
  const { brokers, clientId, requestTimeoutMs, tls, sasl } = settings
  return {
    clientId: clientId ?? (applicationName.replaceAll(/\s+/gu, '-') || 'waybill'),
    bootstrapBrokers: [...brokers],
    connectTimeout: Math.min(requestTimeoutMs, 5000),
    requestTimeout: requestTimeoutMs,
    // Topics are made by `TopicDesk`, which knows their partitions; never by asking for them.
    autocreateTopics: false,
    ...(tls === undefined ? {} : { tls }),
    ...(sasl === undefined ? {} : { sasl }),
  }
}
