import { Admin, Consumer } from '@platformatic/kafka'
import { expect, onTestFinished } from 'vitest'
import type { Delivery, OutboundMessage, Publisher } from '../../../src/ports/transport.ts'
import { until } from '../../../src/testing/until.ts'
import { isUnknownTopic } from '../../../src/transports/kafka/kafka-error.ts'
import { messagesTo, newTopic, openPublisher, outcomes } from './scene.ts'

/** The client library's own clients, to arrange things at the broker and to look at what is there. */
export function admin(brokers: readonly string[]): Admin {
  const client = new Admin({ clientId: 'test', bootstrapBrokers: [...brokers] })
  onTestFinished(() => client.close())
  return client
}

export async function createTopic(
  brokers: readonly string[],
  partitions: number,
  configs: Readonly<Record<string, string>> = {},
): Promise<string> {
  const topic = newTopic()
  const client = admin(brokers)
  await client.createTopics({
    topics: [topic],
    partitions,
    replicas: 1,
    configs: Object.entries(configs).map(([name, value]) => ({ name, value })),
  })
  // The controller has it; the broker that clients ask learns of it a moment later.
  await until('the topic, and a leader for each partition', async () => {
    try {
      const { topics } = await client.metadata({ topics: [topic], forceUpdate: true, retries: 0 })
      const found = topics.get(topic)
      return found?.partitionsCount === partitions && found.partitions.every(({ leader }) => leader >= 0)
    } catch (error) {
      if (isUnknownTopic(error)) return false
      throw error
    }
  })
  return topic
}

export async function deleteTopic(brokers: readonly string[], topic: string): Promise<void> {
  const client = admin(brokers)
  await client.deleteTopics({ topics: [topic] })
  // As with one that is made: until the broker has heard of it, it takes records into a topic that is no more.
  await until('the topic to be gone', async () => {
    try {
      await client.metadata({ topics: [topic], forceUpdate: true, retries: 0 })
      return false
    } catch (error) {
      if (isUnknownTopic(error)) return true
      throw error
    }
  })
}

/** What a consumer has committed of each partition; -1 where that is nothing. */
export async function committedOffsets(
  brokers: readonly string[],
  consumer: string,
  topic: string,
  partitions: number,
): Promise<bigint[]> {
  const client = new Consumer({ clientId: 'test', bootstrapBrokers: [...brokers], groupId: consumer })
  const all = Array.from({ length: partitions }, (_, i) => i)
  try {
    return (await client.listCommittedOffsets({ topics: [{ topic, partitions: all }] })).get(topic)!
  } finally {
    // At once: tests ask again and again, and hundreds of open clients would be what they wait for.
    await client.close()
  }
}

/** Publishes, and closes the publisher again. */
export async function publish(brokers: readonly string[], batch: readonly OutboundMessage[]): Promise<void> {
  const publisher = await openPublisher(brokers)
  expect(new Set(outcomes(await publisher.publish(batch, 10_000)))).toEqual(new Set(['confirmed']))
  await publisher.close()
}

/** A publisher that has confirmed something to this topic, so that it is connected and knows where the topic is. */
export async function warmPublisher(brokers: readonly string[], topic: string): Promise<Publisher> {
  const publisher = await openPublisher(brokers)
  // A message for each of its producers, whichever their keys fall to.
  const keys = Array.from({ length: 64 }, (_, i) => `warm-${i}`)
  const fates = await publisher.publish(messagesTo(topic, keys, 64), 10_000)
  expect(new Set(outcomes(fates))).toEqual(new Set(['confirmed']))
  return publisher
}

/** Resolves when a message was confirmed, after as many tries as it takes. */
export async function works(publisher: Publisher, message: OutboundMessage): Promise<void> {
  await until('a confirmed message', async () => {
    const [fate] = await publisher.publish([message], 5000)
    return fate?.outcome === 'confirmed'
  })
}

/** The highest delivery of each stream, as one settles it. */
export function lastOf(deliveries: readonly Delivery[]): Delivery[] {
  return [...new Map(deliveries.map((delivery) => [delivery.stream, delivery])).values()]
}

export function partitionOf({ stream }: Delivery): number {
  return Number(stream.slice(stream.lastIndexOf('/') + 1))
}
