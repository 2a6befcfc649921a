import { randomUUID } from 'node:crypto'
import type { TransportCapabilities } from '../../kernel/capabilities.ts'
import type {
  Transport,
  TransportContext,
  TransportDefinition,
  TransportPlace,
} from '../../ports/transport.ts'
import { KafkaAddressDesk } from './address-desk.ts'
import { loadKafka, type KafkaLibrary } from './client.ts'
import { dispatchProducer } from './dispatch-producer.ts'
import { KafkaDispatcher } from './dispatcher.ts'
import { KafkaFencedPublisher } from './fenced-publisher.ts'
import { type KafkaSettings, resolveOptions, type KafkaTransportOptions } from './options.ts'
import { KafkaPulse } from './pulse.ts'
import { Placement } from './placement.ts'
import { PositionsTopic } from './positions-topic.ts'
import { KafkaPublisher } from './publisher.ts'
import { KafkaSubscription } from './subscription.ts'
import { TopicDesk } from './topic-desk.ts'
import { transactionalProducer } from './transactional-producer.ts'
import { TransformWriter } from './transform-writer.ts'
import { watchedProducer } from './watched-producer.ts'

/**
 * Kafka 3.5 or newer, over `@platformatic/kafka`. Nothing connects before the first message, and no broker has to be up:
 * sends are refused as `destination` until one is, and consumers join when one is.
 *
 * Throws `WB_INVALID_OPTION`. Opening a publisher or a subscription throws `WB_PEER_MISSING` where the client is not installed.
 */
export function kafkaTransport(options: KafkaTransportOptions): TransportDefinition {
  return definitionOf(resolveOptions(options), false)
}

/** `isMoved`: what it keeps at the broker is nobody else's. */
function definitionOf(settings: KafkaSettings, isMoved: boolean): TransportDefinition {
  const kind = 'kafka'
  const capabilities: TransportCapabilities = {
    ordersBatch: true,
    isLocal: false,
    maxBytes: settings.maxBytes,
    confirms: true,
    dispatches: true,
    fences: true,
    transforms: settings.groupProtocol === 'classic',
    keepsOrder: true,
    settles: true,
    seeks: true,
    redeliveryMs: settings.retentionMs,
    deduplicatesMs: null,
    transactionTimeoutMs: settings.transactionTimeoutMs,
    producerExpiryMs: settings.producerExpiryMs,
  }

  const open = ({ logger, applicationName, source }: TransportContext): Transport => {
    const opened = new Set<{ close(): Promise<void> }>()
    const deskFor = (kafka: KafkaLibrary): TopicDesk =>
      new TopicDesk({ kafka, settings, applicationName, logger })
    const keep = <T extends { close(): Promise<void> }>(thing: T): T => {
      opened.add(thing)
      return thing
    }
    const transformWriter = (kafka: KafkaLibrary, consumer: string): TransformWriter => {
      const { maxBytes, transactionalIdPrefix = `waybill-${applicationName}` } = settings
      return new TransformWriter({
        transactionalId: `${transactionalIdPrefix}-transform-${consumer}-${randomUUID()}`,
        makeProducer: (id, transactionTimeoutMs) =>
          transactionalProducer(kafka, { ...settings, transactionTimeoutMs }, applicationName, id),
        placement: new Placement(deskFor(kafka), settings.positionsTopic),
        maxTransactionMs: settings.transactionTimeoutMs,
        maxBytes,
        source,
      })
    }
    let pulse: KafkaPulse | undefined
    return {
      kind,
      capabilities,
      async ping(timeoutMs) {
        const kafka = await loadKafka()
        pulse ??= keep(new KafkaPulse(kafka, settings, applicationName))
        await pulse.feel(timeoutMs)
      },
      async openPublisher() {
        const kafka = await loadKafka()
        const makeProducer = () => watchedProducer(kafka, settings, applicationName)
        const { maxBytes } = settings
        return keep(new KafkaPublisher({ makeProducer, topics: deskFor(kafka), maxBytes, source }))
      },
      async openDispatcher() {
        const kafka = await loadKafka()
        const makeProducer = () => dispatchProducer(kafka, settings, applicationName)
        const { maxBytes } = settings
        return keep(new KafkaDispatcher({ makeProducer, topics: deskFor(kafka), maxBytes, source }))
      },
      async openFencedPublisher(outbox) {
        const kafka = await loadKafka()
        const { maxBytes, transactionalIdPrefix, positionsTopic } = settings
        return keep(
          new KafkaFencedPublisher({
            makeProducer: (id) => transactionalProducer(kafka, settings, applicationName, id),
            positions: new PositionsTopic({ kafka, settings, applicationName, logger }),
            placement: new Placement(deskFor(kafka), positionsTopic),
            transactionalIdPrefix: transactionalIdPrefix ?? `waybill-${outbox}`,
            maxBytes,
            source,
          }),
        )
      },
      async subscribe(request) {
        const kafka = await loadKafka()
        return keep(
          new KafkaSubscription({
            kafka,
            settings,
            applicationName,
            logger,
            topics: deskFor(kafka),
            request,
            writer: request.transforms === true ? transformWriter(kafka, request.consumer) : undefined,
          }),
        )
      },
      async close() {
        await Promise.all([...opened].map((thing) => thing.close()))
      },
    }
  }
  return {
    kind,
    capabilities,
    addressFault,
    open,
    elsewhere: (place) => definitionOf(movedSettings(settings, place), true),
    openDesk: async (applicationName) =>
      new KafkaAddressDesk(
        await loadKafka(),
        settings,
        applicationName,
        isMoved ? settings.positionsTopic : null,
      ),
  }
}

/** In names of its own, which nobody else has made. */
function movedSettings(
  settings: KafkaSettings,
  { id, sessionTimeoutMs, requestTimeoutMs, onDifference }: TransportPlace,
): KafkaSettings {
  if (settings.groupProtocol === 'consumer') {
    onDifference?.(
      "Its groups use Kafka's classic protocol there: under `groupProtocol: 'consumer'` the broker alone decides how soon it gives up a " +
        'member that was killed (45 s by default).',
    )
  }
  return {
    ...settings,
    createTopics: true,
    positionsTopic: `${id}-positions`,
    transactionalIdPrefix: id,
    groupProtocol: 'classic',
    sessionTimeoutMs: Math.min(settings.sessionTimeoutMs, sessionTimeoutMs),
    requestTimeoutMs: Math.min(settings.requestTimeoutMs, requestTimeoutMs),
  }
}

function addressFault(address: string): string | undefined {
  if (/^[\w.-]{1,249}$/u.test(address) && address !== '.' && address !== '..') return undefined
  return 'is no name of a Kafka topic: use 1 to 249 letters, digits, dots, underscores and hyphens'
}
