import type { Base } from '@platformatic/kafka'
import { systemClock } from '../../kernel/clock.ts'
import type { Logger } from '../../kernel/logger.ts'
import { clientOptions, type KafkaLibrary } from './client.ts'
import { hasKafkaError, isRetryable, isUnknownTopic, kafkaErrorName } from './kafka-error.ts'
import type { KafkaSettings } from './options.ts'

/** A topic is there with so many partitions, or it is not and cannot be made. */
export type TopicState =
  | { readonly partitions: number }
  | { readonly partitions: 0; readonly code: string; readonly reason: string }

/** Between two looks at a topic that is not there yet. */
export const pauseMs = 100

export interface TopicDeskOptions {
  readonly kafka: KafkaLibrary
  readonly settings: KafkaSettings
  readonly applicationName: string
  readonly logger: Logger
}

/** Knows topics, and makes those that are missing where it may. */
export class TopicDesk {
  readonly #options: TopicDeskOptions
  /** Topics that could not be made and were told of. */
  readonly #told = new Set<string>()

  constructor(options: TopicDeskOptions) {
    this.#options = options
  }

  /**
   * Looks a topic up with `client`, which keeps what it learns for a few seconds. Tries again while no broker answers and
   * while a new topic has no leaders, and tells `onTrouble` why; `undefined` when `signal` aborted.
   */
  async find(
    client: Base,
    topic: string,
    signal: AbortSignal,
    onTrouble: (code: string) => void,
  ): Promise<TopicState | undefined> {
    for (; !signal.aborted; await systemClock.sleep(pauseMs, signal)) {
      const state = await this.look(client, topic, onTrouble)
      if (state !== undefined) return state
    }
    return undefined
  }

  /** Looks once; `undefined`: it is not there yet, and `onTrouble` was told why. */
  async look(
    client: Base,
    topic: string,
    onTrouble: (code: string) => void,
  ): Promise<TopicState | undefined> {
    try {
      // Without `retries` the library would ask for a missing topic for ever.
      const metadata = await client.metadata({ topics: [topic], retries: 0 })
      const partitions = metadata.topics.get(topic)?.partitions ?? []
      if (partitions.length > 0 && partitions.every(({ leader }) => leader >= 0)) {
        return { partitions: partitions.length }
      }
      onTrouble('LEADER_NOT_AVAILABLE')
      client.clearMetadata()
      return undefined
    } catch (error) {
      const code = kafkaErrorName(error)
      onTrouble(code)
      if (isUnknownTopic(error)) return await this.#make(topic)
      if (isRetryable(error)) return undefined
      return missing(code, `The broker does not let this client use its topic: ${code}.`)
    }
  }

  /** `undefined`: made, or just made by another, or not known; look again. */
  async #make(topic: string): Promise<TopicState | undefined> {
    const { kafka, settings, applicationName, logger } = this.#options
    const { createTopics, partitionsPerTopic } = settings
    if (!createTopics) {
      const code = 'UNKNOWN_TOPIC_OR_PARTITION'
      return this.#tell(topic, missing(code, 'Its topic does not exist, and `createTopics` is off: make it.'))
    }
    const admin = new kafka.Admin({
      ...clientOptions(settings, applicationName),
      retries: 2,
      retryDelay: pauseMs,
    })
    try {
      await admin.createTopics({ topics: [topic], partitions: partitionsPerTopic, replicas: -1 })
      logger.info({ topic, partitions: partitionsPerTopic }, 'made a Kafka topic that was missing')
      return undefined
    } catch (error) {
      if (hasKafkaError(error, 'TOPIC_ALREADY_EXISTS') || isRetryable(error)) return undefined
      const code = kafkaErrorName(error)
      return this.#tell(topic, missing(code, `Its topic does not exist and could not be made: ${code}.`))
    } finally {
      await admin.close().catch(() => {})
    }
  }

  #tell(topic: string, state: TopicState & { readonly reason: string }): TopicState {
    if (!this.#told.has(topic))
      this.#options.logger.error({ topic, reason: state.reason }, 'a Kafka topic is missing')
    this.#told.add(topic)
    return state
  }
}

function missing(code: string, reason: string): TopicState & { readonly reason: string } {
  return { partitions: 0, code, reason }
}
