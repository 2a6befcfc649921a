import { randomUUID } from 'node:crypto'
import { Admin, Consumer } from '@platformatic/kafka'
import { afterAll, afterEach, beforeAll, expect, it, onTestFinished } from 'vitest'
import { silentLogger, type Logger } from '../../../src/kernel/logger.ts'
import type { Delivery, OutboundMessage } from '../../../src/ports/transport.ts'
import { until } from '../../../src/testing/until.ts'
import { describeWithKafka } from '../../setup/servers.ts'
import {
  idsOf,
  messagesTo,
  messageTo,
  newTopic,
  openPublisher,
  openTransport,
  outcomes,
  quickGroups,
  receiveCount,
  receiveUntil,
  startProxiedKafka,
  subscribe,
  textOf,
  type ProxiedKafka,
} from './scene.ts'

const quick = { sessionTimeoutMs: 600, requestTimeoutMs: 3000 }

describeWithKafka('a Kafka subscription whose broker or group is in trouble', () => {
  let kafka: ProxiedKafka

  beforeAll(async () => {
    kafka = await startProxiedKafka(quickGroups)
  })

  afterEach(() => kafka.proxy.heal())

  afterAll(async () => {
    await kafka[Symbol.asyncDispose]()
  })

  async function publish(batch: readonly OutboundMessage[]): Promise<void> {
    const publisher = await openPublisher(kafka.brokers)
    expect(new Set(outcomes(await publisher.publish(batch, 10_000)))).toEqual(new Set(['confirmed']))
    await publisher.close()
  }

  async function committedOffset(consumer: string, topic: string): Promise<bigint> {
    const client = new Consumer({ clientId: 'test', bootstrapBrokers: [...kafka.brokers], groupId: consumer })
    onTestFinished(() => client.close())
    return (await client.listCommittedOffsets({ topics: [{ topic, partitions: [0] }] })).get(topic)![0]!
  }

  function admin(): Admin {
    const client = new Admin({ clientId: 'test', bootstrapBrokers: [...kafka.brokers] })
    onTestFinished(() => client.close())
    return client
  }

  it('resumes by itself when the broker was killed, and what was settled before stays settled', async () => {
    const topic = newTopic()
    const consumer = randomUUID()
    await publish(messagesTo(topic, ['k'], 10))
    const subscription = await subscribe(openTransport(kafka.brokers), [topic], { consumer })
    await subscription.settle([(await receiveCount(subscription, 10)).at(-1)!])
    await kafka.server.kill()
    const waiting = receiveUntil(subscription, (all) => all.some((delivery) => textOf(delivery) === 'after'))
    await kafka.server.restart()
    await publish([messageTo(topic, 'k', { payload: Buffer.from('after') })])
    const received = await waiting
    expect(received.map(textOf)).toEqual(['after'])
    await subscription.settle(received)
    await subscription.close()
    await publish([messageTo(topic, 'k', { payload: Buffer.from('last') })])
    const next = await subscribe(openTransport(kafka.brokers), [topic], { consumer })
    expect((await receiveCount(next, 1)).map(textOf)).toEqual(['last'])
  })

  it('joins when a broker comes up, where none could be reached at its start', async () => {
    const topic = newTopic()
    await publish([messageTo(topic, 'k')])
    kafka.proxy.refuse()
    const warned = Promise.withResolvers<unknown>()
    const logger: Logger = { ...silentLogger, debug: (fields) => warned.resolve(fields['error']) }
    const subscription = await subscribe(openTransport(kafka.brokers, {}, logger), [topic])
    expect(await warned.promise).toBe('ECONNREFUSED')
    await kafka.proxy.heal()
    expect(await receiveCount(subscription, 1)).toHaveLength(1)
  })

  it('goes on after its connections were reset, forgotten or held up', async () => {
    const topic = newTopic()
    await publish([messageTo(topic, 'k')])
    const subscription = await subscribe(openTransport(kafka.brokers, quick), [topic])
    await receiveCount(subscription, 1)
    for (const fault of ['reset', 'halfOpen', 'blackHole'] as const) {
      kafka.proxy[fault]()
      await kafka.proxy.heal()
      const message = messageTo(topic, 'k')
      await publish([message])
      await receiveUntil(subscription, (all) => idsOf(all).includes(message.envelope.id))
    }
  })

  it('says within its time that a settlement was not answered, and settles when it is asked again', async () => {
    const topic = newTopic()
    const consumer = randomUUID()
    await publish([messageTo(topic, 'k')])
    // A long session: the pause must not cost the membership.
    const options = { requestTimeoutMs: 500, partitionsPerTopic: 1 }
    const subscription = await subscribe(openTransport(kafka.brokers, options), [topic], { consumer })
    const [delivery] = await receiveCount(subscription, 1)
    kafka.server.pause()
    try {
      await expect(subscription.settle([delivery!])).rejects.toMatchObject({
        code: 'WB_BROKER_UNREACHABLE',
        retryable: 'yes',
      })
    } finally {
      kafka.server.resume()
    }
    await until('a settlement', () =>
      subscription.settle([delivery!]).then(
        () => true,
        () => false,
      ),
    )
    const { stream } = delivery!
    expect(stream).toMatch(/\/\d+$/u)
    const client = new Consumer({ clientId: 'test', bootstrapBrokers: [...kafka.brokers], groupId: consumer })
    onTestFinished(() => client.close())
    const partition = Number(stream.split('/')[1])
    const committed = await client.listCommittedOffsets({ topics: [{ topic, partitions: [partition] }] })
    expect(committed.get(topic)![partition]).toBe(1n)
  })

  it('gives up its streams when the broker took them away while the process stood still', async () => {
    const topic = newTopic()
    const consumer = randomUUID()
    await admin().createTopics({ topics: [topic], partitions: 1, replicas: 1 })
    await publish(messagesTo(topic, ['k'], 3))
    const revoked = Promise.withResolvers<readonly string[]>()
    const subscription = await subscribe(openTransport(kafka.brokers, quick), [topic], {
      consumer,
      onRevoked: revoked.resolve,
    })
    const before = await receiveCount(subscription, 3)
    // As SIGSTOP does: no heartbeat leaves for longer than the session lasts.
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 3 * quick.sessionTimeoutMs)
    expect(await revoked.promise).toEqual([`${topic}/0`])
    await subscription.settle(before)
    expect(await committedOffset(consumer, topic)).toBe(-1n)
    const after = await receiveCount(subscription, 3)
    expect(idsOf(after)).toEqual(idsOf(before))
    expect(after[0]!.assignment).toBeGreaterThan(before[0]!.assignment)
  })

  it('hands out nothing below a committed position again while members come and go, and loses nothing', async () => {
    const topic = newTopic()
    const consumer = randomUUID()
    const batch = messagesTo(
      topic,
      Array.from({ length: 20 }, (_, i) => `key-${i}`),
      4000,
    )
    await publish(batch)
    const committed = new Map<string, bigint>()
    const missing = new Set(idsOf(batch))
    const below: string[] = []
    let settled = 0

    const work = async (signal: AbortSignal): Promise<void> => {
      let refusals = 0
      const logger: Logger = {
        ...silentLogger,
        debug: (_, text) => void (refusals += Number(/not committed/u.test(text))),
      }
      const transport = openTransport(kafka.brokers, quick, logger)
      const member = await subscribe(transport, [topic], { consumer })
      while (!signal.aborted) {
        const deliveries = await member.receive(20, signal)
        const last = new Map<string, Delivery>()
        for (const delivery of deliveries) {
          const { stream, position, envelope } = delivery
          if (position < (committed.get(stream) ?? 0n)) below.push(`${stream} ${position}`)
          missing.delete(envelope!.id)
          last.set(stream, delivery)
        }
        const before = refusals
        await member.settle([...last.values()])
        if (refusals > before) continue
        settled += last.size
        for (const { stream, position } of last.values()) {
          if (position >= (committed.get(stream) ?? 0n)) committed.set(stream, position + 1n)
        }
      }
      await transport.close()
    }

    const stop = new AbortController()
    const constant = work(stop.signal)
    await until('a first settlement', () => settled > 0)
    let guests = 0
    while (missing.size > 0) {
      const leave = new AbortController()
      const guest = work(leave.signal)
      const target = settled + 3
      await until('some settlements', () => settled > target || missing.size === 0)
      leave.abort()
      await guest
      guests += 1
    }
    stop.abort()
    await constant
    expect(guests).toBeGreaterThan(2)
    expect(below).toEqual([])
  })

  it('reads partitions that a topic is given later', async () => {
    const topic = newTopic()
    await admin().createTopics({ topics: [topic], partitions: 1, replicas: 1 })
    await publish([messageTo(topic, 'k')])
    const subscription = await subscribe(openTransport(kafka.brokers), [topic])
    await receiveCount(subscription, 1)
    await admin().createPartitions({ topics: [{ name: topic, count: 3, assignments: null as never }] })
    await until('the new partitions', async () => {
      const metadata = await admin().metadata({ topics: [topic], forceUpdate: true })
      return metadata.topics.get(topic)?.partitions.filter(({ leader }) => leader >= 0).length === 3
    })
    await publish(messagesTo(topic, [null], 30))
    const streams = new Set<string>()
    await receiveUntil(subscription, (deliveries) => {
      for (const { stream } of deliveries) streams.add(stream)
      return streams.size === 3
    })
  })

  it('starts at what the log still has, loudly, where its position is gone', async () => {
    const topic = newTopic()
    const consumer = randomUUID()
    await admin().createTopics({ topics: [topic], partitions: 1, replicas: 1 })
    await publish(messagesTo(topic, ['k'], 20))
    const first = await subscribe(openTransport(kafka.brokers), [topic], { consumer })
    await first.settle([(await receiveCount(first, 20))[4]!])
    await first.close()
    await admin().deleteRecords({ topics: [{ name: topic, partitions: [{ partition: 0, offset: 12n }] }] })
    const errors: unknown[] = []
    const logger: Logger = { ...silentLogger, error: (fields) => void errors.push(fields) }
    const second = await subscribe(openTransport(kafka.brokers, {}, logger), [topic], { consumer })
    expect((await receiveCount(second, 8)).map(textOf)).toEqual([
      '12',
      '13',
      '14',
      '15',
      '16',
      '17',
      '18',
      '19',
    ])
    expect(errors).toEqual([{ topic, partition: 0, wanted: 5n, start: 12n }])
  })
})
