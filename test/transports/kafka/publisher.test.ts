import { Admin } from '@platformatic/kafka'
import { beforeAll, expect, it, onTestFinished } from 'vitest'
import { headersFrom } from '../../../src/kernel/message.ts'
import { describeWithKafka, kafkaBrokers } from '../../setup/servers.ts'
import {
  codeOf,
  java,
  messagesTo,
  messageTo,
  newTopic,
  openPublisher,
  openTransport,
  outcomes,
  receiveCount,
  subscribe,
  textOf,
} from './scene.ts'

const timeoutMs = 10_000

describeWithKafka('a Kafka publisher', () => {
  let brokers: string[]

  beforeAll(async () => {
    brokers = await kafkaBrokers()
  })

  function admin(): Admin {
    const client = new Admin({ clientId: 'test', bootstrapBrokers: brokers })
    onTestFinished(() => client.close())
    return client
  }

  async function createTopic(partitions: number, configs: Record<string, string> = {}): Promise<string> {
    const topic = newTopic()
    await admin().createTopics({
      topics: [topic],
      partitions,
      replicas: 1,
      configs: Object.entries(configs).map(([name, value]) => ({ name, value })),
    })
    return topic
  }

  it('confirms each message of a batch, and they arrive byte for byte in the order of their keys', async () => {
    const topic = newTopic()
    const transport = openTransport(brokers)
    const publisher = await transport.openPublisher!()
    const batch = messagesTo(topic, ['a', 'b', 'c', 'd', 'e', 'f', 'g'], 700)
    expect(new Set(outcomes(await publisher.publish(batch, timeoutMs)))).toEqual(new Set(['confirmed']))

    const deliveries = await receiveCount(await subscribe(transport, [topic]), 700)
    const sent = new Map(batch.map(({ envelope }) => [envelope.id, envelope]))
    const last = new Map<string, number>()
    for (const delivery of deliveries) {
      const { envelope } = delivery
      expect(envelope).toEqual(sent.get(envelope!.id))
      const counter = Number(textOf(delivery))
      expect(counter).toBeGreaterThan(last.get(envelope!.key!) ?? -1)
      last.set(envelope!.key!, counter)
    }
    expect(last.size).toBe(7)
  })

  it('keeps the order of a key over calls that overlap', async () => {
    const topic = newTopic()
    const transport = openTransport(brokers)
    const publisher = await transport.openPublisher!()
    const all = messagesTo(topic, ['k'], 1000)
    const calls = Array.from({ length: 100 }, (_, i) =>
      publisher.publish(all.slice(10 * i, 10 * i + 10), timeoutMs),
    )
    expect(new Set(outcomes((await Promise.all(calls)).flat()))).toEqual(new Set(['confirmed']))
    const deliveries = await receiveCount(await subscribe(transport, [topic]), 1000)
    expect(deliveries.map(textOf)).toEqual(all.map(textOf))
  })

  it('makes a topic that is missing, with as many partitions as it was told', async () => {
    const topic = newTopic()
    const publisher = await openPublisher(brokers, { partitionsPerTopic: 7 })
    expect(outcomes(await publisher.publish([messageTo(topic, 'k')], timeoutMs))).toEqual(['confirmed'])
    const metadata = await admin().metadata({ topics: [topic] })
    expect(metadata.topics.get(topic)?.partitionsCount).toBe(7)
  })

  it('puts each key into the partition where the Java client puts it', async () => {
    const keys = Array.from(
      { length: 300 },
      (_, i) => `${'kéy-🚢-'.slice(0, i % 7)}${(i * 7919).toString(36)}`,
    )
    const ours = await createTopic(11)
    const theirs = await createTopic(11)
    const transport = openTransport(brokers)
    const publisher = await transport.openPublisher!()
    const fates = await publisher.publish(messagesTo(ours, keys, keys.length), timeoutMs)
    expect(new Set(outcomes(fates))).toEqual(new Set(['confirmed']))
    await java(
      'ConsoleProducer',
      ['--bootstrap-server', brokers[0]!, '--topic', theirs, '--reader-property', 'parse.key=true'],
      keys.map((key) => `${key}\tv\n`).join(''),
    )
    const places = async (topic: string): Promise<Map<string | null, string>> => {
      const deliveries = await receiveCount(await subscribe(transport, [topic]), keys.length)
      return new Map(deliveries.map(({ envelope, stream }) => [envelope!.key, stream.slice(topic.length)]))
    }
    const expected = await places(theirs)
    expect(expected.size).toBe(new Set(keys).size)
    expect(await places(ours)).toEqual(expected)
  })

  it('spreads messages without a key over all partitions', async () => {
    const topic = await createTopic(5)
    const transport = openTransport(brokers)
    const publisher = await transport.openPublisher!()
    await publisher.publish(messagesTo(topic, [null], 100), timeoutMs)
    const deliveries = await receiveCount(await subscribe(transport, [topic]), 100)
    expect(new Set(deliveries.map(({ stream }) => stream)).size).toBe(5)
    expect(deliveries.every(({ envelope }) => envelope!.key === null)).toBe(true)
  })

  it('is read as a CloudEvent by Java’s console consumer', async () => {
    const topic = newTopic()
    const publisher = await openPublisher(brokers)
    const headers = headersFrom([
      ['traceparent', '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'],
      ['tenant', 'zürich'],
    ])
    const message = messageTo(topic, 'k-1', { headers, payload: Buffer.from('{"total":7}') })
    await publisher.publish([message], timeoutMs)
    const printed = await java('consumer.ConsoleConsumer', [
      ...['--bootstrap-server', brokers[0]!, '--topic', topic, '--from-beginning', '--max-messages', '1'],
      ...['--formatter-property', 'print.headers=true', '--formatter-property', 'print.key=true'],
    ])
    const [printedHeaders, key, value] = printed.trim().split('\t')
    const { id, createdAt } = message.envelope
    expect(new Set(printedHeaders!.split(','))).toEqual(
      new Set([
        'traceparent:00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01',
        'tenant:zürich',
        'waybill-envelope:1',
        'ce_specversion:1.0',
        `ce_id:${id}`,
        'ce_source:/test',
        `ce_type:${topic}`,
        `ce_time:${createdAt.toISOString()}`,
        'ce_partitionkey:k-1',
        'content-type:application/json',
      ]),
    )
    expect([key, value]).toEqual(['k-1', '{"total":7}'])
  })

  it('lets a message that the broker finds too large cost only itself, and its key’s later ones wait', async () => {
    const topic = await createTopic(2, { 'max.message.bytes': '20000' })
    const transport = openTransport(brokers)
    const publisher = await transport.openPublisher!()
    const batch = messagesTo(topic, ['a', 'b', 'c', 'd'], 40)
    batch[21] = messageTo(topic, 'b', { payload: Buffer.alloc(30_000) })
    const fates = await publisher.publish(batch, timeoutMs)
    expect(fates[21]).toMatchObject({
      outcome: 'rejected',
      scope: 'message',
      retryable: false,
      code: 'MESSAGE_TOO_LARGE',
    })
    for (const [index, fate] of fates.entries()) {
      if (index === 21) continue
      const isBehind = index > 21 && batch[index]!.envelope.key === 'b'
      expect([index, fate.outcome]).toEqual([index, isBehind ? 'rejected' : 'confirmed'])
      if (fate.outcome === 'rejected') expect(fate).toMatchObject({ scope: 'message', retryable: true })
    }
    // The key is open again once its caller has drawn the conclusion.
    expect(outcomes(await publisher.publish([messageTo(topic, 'b')], timeoutMs))).toEqual(['confirmed'])
    const arrived = await receiveCount(await subscribe(transport, [topic]), 36)
    expect(arrived).toHaveLength(36)
  })

  it('sends more in one call than one batch of the broker may hold', async () => {
    const topic = await createTopic(1)
    const publisher = await openPublisher(brokers)
    const batch = Array.from({ length: 50 }, () => messageTo(topic, 'k', { payload: Buffer.alloc(100_000) }))
    expect(new Set(outcomes(await publisher.publish(batch, timeoutMs)))).toEqual(new Set(['confirmed']))
  })

  it('lets a topic that does not exist cost only its own messages, where it may not make it', async () => {
    const [missing, there] = [newTopic(), await createTopic(1)]
    const publisher = await openPublisher(brokers, { createTopics: false })
    const fates = await publisher.publish([messageTo(missing, 'k'), messageTo(there, 'k')], timeoutMs)
    expect(fates).toEqual([
      expect.objectContaining({
        outcome: 'rejected',
        scope: 'destination',
        retryable: true,
        code: 'UNKNOWN_TOPIC_OR_PARTITION',
      }),
      { outcome: 'confirmed' },
    ])
    await admin().createTopics({ topics: [missing], partitions: 1, replicas: 1 })
    expect(outcomes(await publisher.publish([messageTo(missing, 'k')], timeoutMs))).toEqual(['confirmed'])
  })

  it('says which name of a topic Kafka does not take', async () => {
    const publisher = await openPublisher(brokers)
    const [fate] = await publisher.publish([messageTo('not a topic', 'k')], timeoutMs)
    expect(fate).toMatchObject({ outcome: 'rejected', scope: 'destination', code: 'INVALID_TOPIC_EXCEPTION' })
  })

  it('refuses what cannot be written as a record, alone, without a word of what it holds', async () => {
    const topic = await createTopic(1)
    const publisher = await openPublisher(brokers, { maxBytes: 50_000 })
    const fates = await publisher.publish(
      [
        messageTo(topic, 'a', { payload: Buffer.alloc(60_000) }),
        messageTo(topic, 'a'),
        messageTo(topic, 'b', { createdAt: new Date(Number.NaN) }),
        messageTo(topic, 'c'),
      ],
      timeoutMs,
    )
    expect(fates.map(codeOf)).toEqual(['WB_MESSAGE_TOO_LARGE', 'WB_ABORTED', 'WB_ENVELOPE_INVALID', ''])
  })

  it('answers after it was closed, and an empty batch', async () => {
    const publisher = await openPublisher(brokers)
    expect(await publisher.publish([], timeoutMs)).toEqual([])
    await publisher.close()
    expect(outcomes(await publisher.publish([messageTo('t', 'k')], timeoutMs))).toEqual([
      'rejected: WB_NOT_RUNNING',
    ])
  })
})
