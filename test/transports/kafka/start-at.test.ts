import { randomUUID } from 'node:crypto'
import { beforeAll, expect, it } from 'vitest'
import { silentLogger, type Logger } from '../../../src/kernel/logger.ts'
import type { AssignedStream } from '../../../src/ports/transport.ts'
import { until } from '../../../src/testing/until.ts'
import { describeWithKafka, kafkaBrokers } from '../../setup/servers.ts'
import { admin, createTopic, deleteTopic, publish } from './broker-desk.ts'
import {
  messagesTo,
  messageTo,
  openTransport,
  receiveCount,
  receiveUntil,
  subscribe,
  textOf,
} from './scene.ts'
import { holdOffset } from './transactions.ts'

describeWithKafka('where a Kafka subscription starts', () => {
  let brokers: string[]

  beforeAll(async () => {
    brokers = await kafkaBrokers()
  })

  async function lineageOf(topic: string): Promise<string> {
    const metadata = await admin(brokers).metadata({ topics: [topic] })
    return `${metadata.id}:${metadata.topics.get(topic)!.id}`
  }

  /** 20 messages in each of two partitions; of both the group has committed 15. */
  async function committedTopic(consumer: string): Promise<string> {
    const topic = await createTopic(brokers, 2)
    await publish(
      brokers,
      messagesTo(
        topic,
        Array.from({ length: 40 }, (_, i) => `key-${i % 8}`),
        400,
      ),
    )
    const subscription = await subscribe(openTransport(brokers), [topic], { consumer })
    const deliveries = await receiveCount(subscription, 400)
    const fifteenth = deliveries.filter(({ position }) => position === 14n)
    expect(await subscription.settle(fifteenth)).toEqual([true, true])
    await subscription.close()
    return topic
  }

  it('is what `startAt` says, also within a batch; what it leaves out starts where the group committed', async () => {
    const consumer = randomUUID()
    const topic = await committedTopic(consumer)
    const asked: (readonly AssignedStream[])[] = []
    const subscription = await subscribe(openTransport(brokers), [topic], {
      consumer,
      startAt: async (streams) => {
        asked.push(streams)
        return new Map([[`${topic}/1`, 7n]])
      },
    })
    const first = new Map<string, bigint>()
    await receiveUntil(subscription, (deliveries) => {
      for (const { stream, position } of deliveries) if (!first.has(stream)) first.set(stream, position)
      return first.size === 2
    })
    expect(first).toEqual(
      new Map([
        [`${topic}/0`, 15n],
        [`${topic}/1`, 7n],
      ]),
    )
    const lineage = await lineageOf(topic)
    expect(asked).toEqual([[0, 1].map((n) => ({ stream: `${topic}/${n}`, lineage }))])
  })

  it('is asked for again with a pause where `startAt` rejects, and nothing is delivered before', async () => {
    const topic = await createTopic(brokers, 1)
    await publish(brokers, messagesTo(topic, ['k'], 10))
    let asked = 0
    const answer = Promise.withResolvers<ReadonlyMap<string, bigint>>()
    const warnings: unknown[] = []
    const logger: Logger = { ...silentLogger, warn: (fields) => void warnings.push(fields['error']) }
    const subscription = await subscribe(openTransport(brokers, {}, logger), [topic], {
      startAt: () => {
        asked += 1
        if (asked > 2) return answer.promise
        return Promise.reject(Object.assign(new Error('down'), { code: 'WB_STORE_UNREACHABLE' }))
      },
    })
    const received = receiveCount(subscription, 1)
    let isReceived = false
    void received.then(() => (isReceived = true))
    await until('the third question', () => asked === 3)
    expect(isReceived).toBe(false)
    expect(warnings).toEqual(['WB_STORE_UNREACHABLE', 'WB_STORE_UNREACHABLE'])
    answer.resolve(new Map([[`${topic}/0`, 4n]]))
    expect((await received)[0]!.position).toBe(4n)
  })

  it('is asked for at each assignment', async () => {
    const topic = await createTopic(brokers, 2)
    const consumer = randomUUID()
    const asked: string[][] = []
    const startAt = async (streams: readonly AssignedStream[]): Promise<ReadonlyMap<string, bigint>> => {
      asked.push(streams.map(({ stream }) => stream))
      return new Map()
    }
    await subscribe(openTransport(brokers), [topic], { consumer, startAt })
    await until('the first assignment', () => asked.length > 0)
    await subscribe(openTransport(brokers), [topic], { consumer })
    await until('the second assignment', () => asked.length > 1)
    expect(asked[0]).toEqual([`${topic}/0`, `${topic}/1`])
    expect(asked[1]).toHaveLength(1)
  })

  it('is asked for with another lineage when the topic was made anew', async () => {
    const topic = await createTopic(brokers, 1)
    const before = await lineageOf(topic)
    await publish(brokers, messagesTo(topic, ['k'], 10))
    const asked: string[] = []
    const subscription = await subscribe(openTransport(brokers), [topic], {
      startAt: async ([stream]) => {
        asked.push(stream!.lineage)
        return stream!.lineage === before ? new Map([[stream!.stream, 5n]]) : new Map()
      },
    })
    expect((await receiveCount(subscription, 5)).map(textOf)).toEqual(['5', '6', '7', '8', '9'])
    await deleteTopic(brokers, topic)
    // More than before: the old position is one that the new log has, too.
    await admin(brokers).createTopics({ topics: [topic], partitions: 1, replicas: 1 })
    await publish(brokers, messagesTo(topic, ['k'], 20))
    const again = await receiveCount(subscription, 20)
    expect(again.map(textOf)).toEqual(Array.from({ length: 20 }, (_, i) => String(i)))
    expect(new Set(asked)).toEqual(new Set([before, await lineageOf(topic)]))
  })

  it('does not read a log that ends before a given position, and says so', async () => {
    const topic = await createTopic(brokers, 2)
    await publish(
      brokers,
      [0, 1].flatMap((n) => messagesTo(topic, [`key-${n}`, `k${n}`], 10)),
    )
    const errors: unknown[] = []
    const logger: Logger = { ...silentLogger, error: (fields) => void errors.push(fields) }
    const subscription = await subscribe(openTransport(brokers, {}, logger), [topic], {
      startAt: async () => new Map([[`${topic}/0`, 1000n]]),
    })
    await until('the complaint', () => errors.length > 0)
    expect(errors).toEqual([{ topic, partition: 0, wanted: 1000n, start: 0n }])
    const after = { payload: Buffer.from('after') }
    await publish(
      brokers,
      Array.from({ length: 40 }, (_, i) => messageTo(topic, `key-${i}`, after)),
    )
    const deliveries = await receiveUntil(subscription, (all) =>
      all.some((delivery) => textOf(delivery) === 'after'),
    )
    expect(new Set(deliveries.map(({ stream }) => stream))).toEqual(new Set([`${topic}/1`]))
    expect(errors).toHaveLength(1)
  })

  it('waits for positions that a transaction is about to commit', async () => {
    const topic = await createTopic(brokers, 1)
    const consumer = randomUUID()
    await publish(brokers, messagesTo(topic, ['k'], 10))
    const transaction = await holdOffset(brokers, topic, consumer, 6n)
    const isAssigned = Promise.withResolvers<void>()
    const logger: Logger = {
      ...silentLogger,
      info: (_, text) => void (/share of a Kafka group/u.test(text) && isAssigned.resolve()),
    }
    const subscription = await subscribe(openTransport(brokers, {}, logger), [topic], { consumer })
    await isAssigned.promise
    // Another group's subscription, which waits for nothing, has time to read it all.
    await receiveCount(await subscribe(openTransport(brokers), [topic]), 10)
    await transaction.commit()
    expect((await receiveCount(subscription, 1))[0]!.position).toBe(6n)
  })

  it('is the committed position after a restart of the subscription that was given one', async () => {
    const topic = await createTopic(brokers, 1)
    const consumer = randomUUID()
    await publish(brokers, messagesTo(topic, ['k'], 10))
    const first = await subscribe(openTransport(brokers), [topic], {
      consumer,
      startAt: async () => new Map([[`${topic}/0`, 8n]]),
    })
    await first.settle([(await receiveCount(first, 2))[0]!])
    await first.close()
    await publish(brokers, [messageTo(topic, 'k')])
    const second = await subscribe(openTransport(brokers), [topic], { consumer })
    expect((await receiveCount(second, 2))[0]!.position).toBe(9n)
  })
})
