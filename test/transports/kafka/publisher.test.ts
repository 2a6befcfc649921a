import { once } from 'node:events'
import { type AddressInfo, createServer, type Socket } from 'node:net'
import { beforeAll, expect, it, onTestFinished } from 'vitest'
import { headersFrom } from '../../../src/kernel/message.ts'
import { describeWithKafka, kafkaBrokers } from '../../setup/servers.ts'
import { admin, createTopic } from './broker-desk.ts'
import {
  java,
  messagesTo,
  messageTo,
  newTopic,
  openPublisher,
  openTransport,
  outcomes,
  receiveCount,
  subscribe,
} from './scene.ts'

const timeoutMs = 10_000

describeWithKafka('a Kafka publisher', () => {
  let brokers: string[]

  beforeAll(async () => {
    brokers = await kafkaBrokers()
  })

  it('makes a topic that is missing, with as many partitions as it was told', async () => {
    const topic = newTopic()
    const publisher = await openPublisher(brokers, { partitionsPerTopic: 7 })
    expect(outcomes(await publisher.publish([messageTo(topic, 'k')], timeoutMs))).toEqual(['confirmed'])
    const metadata = await admin(brokers).metadata({ topics: [topic] })
    expect(metadata.topics.get(topic)?.partitionsCount).toBe(7)
  })

  it('finds another broker where the first one takes connections and answers none', async () => {
    const topic = await createTopic(brokers, 1)
    const silent = createServer(() => {}).listen(0, '127.0.0.1')
    await once(silent, 'listening')
    const held = new Set<Socket>()
    silent.on('connection', (socket) => held.add(socket))
    onTestFinished(() => {
      for (const socket of held) socket.destroy()
      silent.close()
    })
    const { port } = silent.address() as AddressInfo
    const publisher = await openPublisher([`127.0.0.1:${port}`, ...brokers])
    const said: string[] = []
    while (said.at(-1) !== 'confirmed' && said.length < 4)
      said.push(...outcomes(await publisher.publish([messageTo(topic, 'k')], 1000)))
    expect(said.at(-1), said.join(', ')).toBe('confirmed')
  })

  it('puts each key into the partition where the Java client puts it', async () => {
    const keys = Array.from(
      { length: 300 },
      (_, i) => `${'kéy-🚢-'.slice(0, i % 7)}${(i * 7919).toString(36)}`,
    )
    const ours = await createTopic(brokers, 11)
    const theirs = await createTopic(brokers, 11)
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
    const topic = await createTopic(brokers, 5)
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

  it('sends more in one call than one batch of the broker may hold', async () => {
    const topic = await createTopic(brokers, 1)
    const publisher = await openPublisher(brokers)
    const batch = Array.from({ length: 50 }, () => messageTo(topic, 'k', { payload: Buffer.alloc(100_000) }))
    expect(new Set(outcomes(await publisher.publish(batch, timeoutMs)))).toEqual(new Set(['confirmed']))
  })
})
