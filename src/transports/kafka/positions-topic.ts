import type { Admin } from '@platformatic/kafka'
import { systemClock } from '../../kernel/clock.ts'
import { isWaybillError, WaybillError } from '../../kernel/errors.ts'
import type { Logger } from '../../kernel/logger.ts'
import { clientOptions, type KafkaLibrary } from './client.ts'
import { hasKafkaError, isRetryable, isUnknownTopic, kafkaErrorName } from './kafka-error.ts'
import { findLastNote, type FoundNote } from './last-note.ts'
import type { KafkaSettings } from './options.ts'

/** The topic is made, and grown, in steps of so many partitions. */
const partitionStep = 16
const pauseMs = 50
/** Rolled early: what stands in the newest segment is not compacted. */
const segmentBytes = 67_108_864

export interface PositionsTopicOptions {
  readonly kafka: KafkaLibrary
  readonly settings: KafkaSettings
  readonly applicationName: string
  readonly logger: Logger
}

/** The topic of the notes: one partition for each outbox partition, of the same number. */
export class PositionsTopic {
  readonly #options: PositionsTopicOptions
  /** Partitions that are known to be there, in a topic whose policy is right. */
  #known = 0
  /** One at a time looks and makes. */
  #turn: Promise<void> = Promise.resolve()

  constructor(options: PositionsTopicOptions) {
    this.#options = options
  }

  get name(): string {
    return this.#options.settings.positionsTopic
  }

  /**
   * Resolves when the partition is there and its topic is compacted. Rejects with `WB_GUARANTEE_UNSUPPORTED` where that is not
   * so and cannot be mended here, with the client's error where the broker does not answer.
   */
  async ready(partition: number, signal: AbortSignal): Promise<void> {
    const before = this.#turn
    const { promise, resolve } = Promise.withResolvers<void>()
    this.#turn = promise
    await before
    try {
      if (partition >= this.#known) this.#known = await this.#prepare(partition, signal)
    } finally {
      resolve()
    }
  }

  /** The last committed note under `key` in this partition, and the name of the log it was looked for in. */
  last(partition: number, key: string, signal: AbortSignal): Promise<FoundNote> {
    const { kafka, settings, applicationName } = this.#options
    return persist(signal, async () => {
      await this.ready(partition, signal)
      const client = new kafka.Consumer({
        ...clientOptions(settings, applicationName),
        // Never joined: the library wants a name.
        groupId: 'waybill-positions',
        retries: 0,
      })
      try {
        return await during(client, signal, () =>
          findLastNote(kafka, client, { topic: this.name, partition, key }, signal),
        )
      } catch (error) {
        // It may have been removed since: the next attempt looks, and makes it anew.
        if (!signal.aborted) this.#known = 0
        throw error
      }
    })
  }

  #prepare(partition: number, signal: AbortSignal): Promise<number> {
    const { kafka, settings, applicationName } = this.#options
    return persist(signal, () => {
      const admin = new kafka.Admin({ ...clientOptions(settings, applicationName), retries: 0 })
      return during(admin, signal, async () => {
        for (;;) {
          signal.throwIfAborted()
          const count = await this.#count(admin)
          if (count > partition) {
            await this.#checkPolicy(admin)
            return count
          }
          await this.#make(admin, count, (Math.floor(partition / partitionStep) + 1) * partitionStep)
          // Every broker learns of it a moment later.
          await systemClock.sleep(pauseMs, signal)
        }
      })
    })
  }

  async #count(admin: Admin): Promise<number> {
    try {
      const metadata = await admin.metadata({ topics: [this.name], forceUpdate: true, retries: 0 })
      return metadata.topics.get(this.name)!.partitionsCount
    } catch (error) {
      if (isUnknownTopic(error)) return 0
      throw error
    }
  }

  async #make(admin: Admin, count: number, partitions: number): Promise<void> {
    const { settings, logger } = this.#options
    const topic = this.name
    if (!settings.createTopics) {
      const state = count === 0 ? 'does not exist' : `has ${count} partitions`
      throw unusable(
        topic,
        `${state}, and \`createTopics\` is off: make it with cleanup.policy=compact and ${partitions} partitions.`,
      )
    }
    try {
      if (count > 0) {
        await admin.createPartitions({ topics: [{ name: topic, count: partitions, assignments: null }] })
      } else {
        const configs = [
          { name: 'cleanup.policy', value: 'compact' },
          { name: 'segment.bytes', value: String(segmentBytes) },
        ]
        await admin.createTopics({ topics: [topic], partitions, replicas: -1, configs })
      }
      logger.info({ topic, partitions }, 'made the Kafka topic of positions as large as the outbox')
    } catch (error) {
      // Another relay was quicker.
      if (hasKafkaError(error, 'TOPIC_ALREADY_EXISTS', 'INVALID_PARTITIONS')) return
      if (!hasKafkaError(error, 'TOPIC_AUTHORIZATION_FAILED', 'CLUSTER_AUTHORIZATION_FAILED')) throw error
      const reason = `could not be made with ${partitions} partitions: ${kafkaErrorName(error)}.`
      throw unusable(topic, reason, error)
    }
  }

  /** Retention would take the last note away, and with it the proof of what was sent. */
  async #checkPolicy(admin: Admin): Promise<void> {
    const resourceType = this.#options.kafka.ConfigResourceTypes.TOPIC
    const name = 'cleanup.policy'
    const resources = [{ resourceType, resourceName: this.name, configurationKeys: [name] }]
    const described = await admin.describeConfigs({ resources }).catch((error: unknown) => {
      if (!hasKafkaError(error, 'TOPIC_AUTHORIZATION_FAILED')) throw error
      throw unusable(this.name, `cannot be checked: this client may not describe its settings.`, error)
    })
    const policy = described[0]?.configs.find((config) => config.name === name)?.value
    if (policy === 'compact') return
    throw unusable(
      this.name,
      `has cleanup.policy=${policy ?? '?'}, under which Kafka removes notes that are still needed. ` +
        'Set cleanup.policy=compact, or name another topic as `positionsTopic`.',
    )
  }
}

/** Tries again until it works, or cannot, or the signal aborts. */
async function persist<T>(signal: AbortSignal, attempt: () => Promise<T>): Promise<T> {
  for (;;) {
    try {
      return await attempt()
    } catch (error) {
      const isHopeless = isWaybillError(error) || (!isRetryable(error) && !isUnknownTopic(error))
      if (isHopeless || signal.aborted) throw error
    }
    await systemClock.sleep(pauseMs, signal)
    signal.throwIfAborted()
  }
}

/** Closes the client afterwards, and at once when the signal aborts: what it waits for ends then. */
async function during<T>(
  client: { close(): Promise<void> },
  signal: AbortSignal,
  work: () => Promise<T>,
): Promise<T> {
  const close = (): void => void client.close().catch(() => {})
  signal.addEventListener('abort', close, { once: true })
  try {
    return await work()
  } finally {
    signal.removeEventListener('abort', close)
    close()
  }
}

function unusable(topic: string, state: string, cause?: unknown): WaybillError {
  return new WaybillError(
    'WB_GUARANTEE_UNSUPPORTED',
    `Exactly-once needs the Kafka topic "${topic}", which ${state}`,
    { cause },
  )
}
