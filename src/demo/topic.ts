import { WaybillError } from '../index.ts'

/** What the demo needs of Kafka besides sending and consuming. */
export interface TopicDesk {
  create(topic: string, partitions: number): Promise<void>
  /** Removes the topic and the consumer group. */
  remove(topic: string, group?: string): Promise<void>
  close(): Promise<void>
}

/** Topics are nobody's to make on a production broker but its operators'; the demo makes one of its own and removes it. */
export async function openTopicDesk(brokers: readonly string[]): Promise<TopicDesk> {
  const { Admin } = await import('@platformatic/kafka').catch((cause: unknown) => {
    throw new WaybillError(
      'WB_PEER_MISSING',
      'The Kafka client is not installed: npm install @platformatic/kafka',
      { cause },
    )
  })
  const admin = new Admin({
    clientId: 'waybill-demo',
    bootstrapBrokers: [...brokers],
    retries: 3,
    retryDelay: 300,
  })
  return {
    async create(topic, partitions) {
      try {
        await admin.createTopics({ topics: [topic], partitions, replicas: -1 })
      } catch (cause) {
        throw new WaybillError(
          'WB_BROKER_UNREACHABLE',
          `The topic ${topic} could not be made: check that the brokers answer and let this client make topics.`,
          { cause },
        )
      }
    },
    async remove(topic, group) {
      await admin.deleteTopics({ topics: [topic] })
      // A group that nobody ever joined is not there.
      if (group !== undefined) await admin.deleteGroups({ groups: [group] }).catch(() => {})
    },
    close: () => admin.close(),
  }
}
