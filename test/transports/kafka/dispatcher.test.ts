import { beforeAll, expect, it } from 'vitest'
import { describeWithKafka, kafkaBrokers } from '../../setup/servers.ts'
import { createTopic } from './broker-desk.ts'
import { openDispatcher, words } from './dispatch-scene.ts'
import {
  idsOf,
  messagesTo,
  messageTo,
  newTopic,
  openPublisher,
  openTransport,
  receiveCount,
  subscribe,
  textOf,
} from './scene.ts'

const timeoutMs = 10_000

describeWithKafka('a Kafka dispatcher', () => {
  let brokers: string[]

  beforeAll(async () => {
    brokers = await kafkaBrokers()
  })

  it('loses nothing of what it is first given for topics that nobody has made', async () => {
    const topics = Array.from({ length: 6 }, newTopic)
    const transport = openTransport(brokers)
    const dispatcher = await transport.openDispatcher!()
    const batch = topics.flatMap((topic) => messagesTo(topic, ['a', 'b', 'c', 'd', 'e', 'f'], 24))
    const results = await dispatcher.dispatch(batch, timeoutMs)
    expect(new Set(words(results))).toEqual(new Set(['dispatched']))
    const arrived = await receiveCount(await subscribe(transport, topics), batch.length)
    expect(idsOf(arrived).sort()).toEqual(idsOf(batch).sort())
  })

  it('keeps the order of a key over calls that overlap, in the partition where its publisher puts it', async () => {
    const [topic, other] = [await createTopic(brokers, 5), await createTopic(brokers, 5)]
    const transport = openTransport(brokers)
    const dispatcher = await transport.openDispatcher!()
    const keys = Array.from({ length: 9 }, (_, i) => `key-${i}`)
    const all = messagesTo(topic, keys, 900)
    const calls = Array.from({ length: 90 }, (_, i) =>
      dispatcher.dispatch(all.slice(10 * i, 10 * i + 10), timeoutMs),
    )
    expect(new Set(words((await Promise.all(calls)).flat()))).toEqual(new Set(['dispatched']))
    await (await openPublisher(brokers)).publish(messagesTo(other, keys, 9), timeoutMs)
    const deliveries = await receiveCount(await subscribe(transport, [topic]), 900)
    const published = await receiveCount(await subscribe(transport, [other]), 9)
    for (const key of keys) {
      const ofKey = deliveries.filter(({ envelope }) => envelope!.key === key)
      expect(ofKey.map(textOf)).toEqual(all.filter(({ envelope }) => envelope.key === key).map(textOf))
      const [theirs] = published.filter(({ envelope }) => envelope!.key === key)
      expect(new Set(ofKey.map(({ stream }) => stream.slice(topic.length)))).toEqual(
        new Set([theirs!.stream.slice(other.length)]),
      )
    }
  })

  it('drops what it cannot send, alone, and says why', async () => {
    const [missing, there] = [newTopic(), await createTopic(brokers, 1)]
    const dispatcher = await openDispatcher(brokers, { createTopics: false, maxBytes: 50_000 })
    const batch = [
      messageTo(there, 'a', { payload: Buffer.alloc(60_000) }),
      messageTo(missing, 'a'),
      messageTo(there, 'b', { createdAt: new Date(Number.NaN) }),
      messageTo(there, 'a'),
    ]
    expect(words(await dispatcher.dispatch(batch, timeoutMs))).toEqual([
      'dropped: WB_MESSAGE_TOO_LARGE',
      'dropped: UNKNOWN_TOPIC_OR_PARTITION',
      'dropped: WB_ENVELOPE_INVALID',
      'dispatched',
    ])
    const [arrived] = await receiveCount(await subscribe(openTransport(brokers), [there]), 1)
    expect(arrived!.envelope!.id).toBe(batch[3]!.envelope.id)
  })

  it('sends more in one call than one batch of the broker may hold', async () => {
    const topic = await createTopic(brokers, 1)
    const dispatcher = await openDispatcher(brokers)
    const batch = Array.from({ length: 50 }, () => messageTo(topic, 'k', { payload: Buffer.alloc(100_000) }))
    expect(new Set(words(await dispatcher.dispatch(batch, timeoutMs)))).toEqual(new Set(['dispatched']))
    const arrived = await receiveCount(await subscribe(openTransport(brokers), [topic]), 50)
    expect(idsOf(arrived)).toEqual(idsOf(batch))
  })
})
