import { beforeAll, expect, it } from 'vitest'
import { describeWithKafka, kafkaBrokers } from '../../setup/servers.ts'
import { admin, createTopic, works } from './broker-desk.ts'
import {
  codeOf,
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

describeWithKafka('what a Kafka publisher cannot send', () => {
  let brokers: string[]

  beforeAll(async () => {
    brokers = await kafkaBrokers()
  })

  it('lets a message that the broker finds too large cost only itself, and its key’s later ones wait', async () => {
    const topic = await createTopic(brokers, 2, { 'max.message.bytes': '20000' })
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
      const behind = { outcome: 'rejected', scope: 'send', retryable: true }
      expect({ index, fate }).toMatchObject({ index, fate: isBehind ? behind : { outcome: 'confirmed' } })
    }
    // The key is open again once its caller has drawn the conclusion.
    expect(outcomes(await publisher.publish([messageTo(topic, 'b')], timeoutMs))).toEqual(['confirmed'])
    const arrived = await receiveCount(await subscribe(transport, [topic]), 36)
    expect(arrived).toHaveLength(36)
  })

  it('lets a topic that does not exist cost only its own messages, where it may not make it', async () => {
    const [missing, there] = [newTopic(), await createTopic(brokers, 1)]
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
    await admin(brokers).createTopics({ topics: [missing], partitions: 1, replicas: 1 })
    // The broker knows of a new topic a moment later.
    await works(publisher, messageTo(missing, 'k'))
  })

  it('says which name of a topic Kafka does not take', async () => {
    const publisher = await openPublisher(brokers)
    const [fate] = await publisher.publish([messageTo('not a topic', 'k')], timeoutMs)
    expect(fate).toMatchObject({ outcome: 'rejected', scope: 'destination', code: 'INVALID_TOPIC_EXCEPTION' })
  })

  it('refuses what cannot be written as a record, alone, without a word of what it holds', async () => {
    const topic = await createTopic(brokers, 1)
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
    // Who waits behind it is not to blame, and no attempt of it is counted.
    expect(fates[1]).toMatchObject({ scope: 'send', retryable: true })
  })
})
