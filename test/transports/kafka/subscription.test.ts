import { randomUUID } from 'node:crypto'
import { Producer } from '@platformatic/kafka'
import { beforeAll, expect, it, onTestFinished } from 'vitest'
import { foreignMessageId } from '../../../src/kernel/ids.ts'
import type { Delivery } from '../../../src/ports/transport.ts'
import { describeWithKafka, kafkaBrokers } from '../../setup/servers.ts'
import { committedOffsets, lastOf, publish } from './broker-desk.ts'
import {
  idsOf,
  messagesTo,
  messageTo,
  newTopic,
  openTransport,
  receiveCount,
  subscribe,
  textOf,
} from './scene.ts'

describeWithKafka('a Kafka subscription', () => {
  let brokers: string[]

  beforeAll(async () => {
    brokers = await kafkaBrokers()
  })

  it('starts at the beginning, and gives every consumer everything', async () => {
    const topic = newTopic()
    const batch = messagesTo(topic, ['a', 'b', 'c', 'd', 'e'], 100)
    await publish(brokers, batch)
    const transport = openTransport(brokers)
    for (const consumer of [randomUUID(), randomUUID()]) {
      const deliveries = await receiveCount(await subscribe(transport, [topic], { consumer }), 100)
      expect(idsOf(deliveries).toSorted()).toEqual(idsOf(batch).toSorted())
    }
  })

  it('reads several topics, and names the channel of each message', async () => {
    const topics = [newTopic(), newTopic(), newTopic()]
    await publish(
      brokers,
      topics.flatMap((topic) => messagesTo(topic, ['a', 'b', 'c'], 10)),
    )
    const deliveries = await receiveCount(await subscribe(openTransport(brokers), topics), 30)
    for (const { envelope, stream } of deliveries)
      expect(stream.startsWith(`${envelope!.channel}/`)).toBe(true)
    expect(new Set(deliveries.map(({ envelope }) => envelope!.channel))).toEqual(new Set(topics))
  })

  it('gives positions that grow in each stream, and never more at once than was asked for', async () => {
    const topic = newTopic()
    await publish(brokers, messagesTo(topic, ['a', 'b', 'c', 'd', 'e'], 300))
    const subscription = await subscribe(openTransport(brokers), [topic])
    const last = new Map<string, bigint>()
    for (let received = 0; received < 300;) {
      const deliveries = await subscription.receive(7, AbortSignal.timeout(20_000))
      expect(deliveries.length).toBeGreaterThan(0)
      expect(deliveries.length).toBeLessThanOrEqual(7)
      for (const { stream, position } of deliveries) {
        expect(position).toBe((last.get(stream) ?? -1n) + 1n)
        last.set(stream, position)
      }
      received += deliveries.length
    }
  })

  it('commits nothing by itself: what was not settled comes again, what was settled does not', async () => {
    const topic = newTopic()
    const consumer = randomUUID()
    const batch = messagesTo(topic, ['k'], 20)
    await publish(brokers, batch)
    const first = await subscribe(openTransport(brokers), [topic], { consumer })
    const deliveries = await receiveCount(first, 20)
    expect(new Set(await committedOffsets(brokers, consumer, topic, 4))).toEqual(new Set([-1n]))
    await first.settle([deliveries[11]!])
    const { stream } = deliveries[0]!
    const partition = Number(stream.slice(stream.lastIndexOf('/') + 1))
    expect((await committedOffsets(brokers, consumer, topic, 4))[partition]).toBe(12n)
    await first.close()

    const second = await subscribe(openTransport(brokers), [topic], { consumer })
    const again = await receiveCount(second, 8)
    expect(again.map(textOf)).toEqual(['12', '13', '14', '15', '16', '17', '18', '19'])
  })

  it('never moves a committed position back, however settlements overlap', async () => {
    const topic = newTopic()
    const consumer = randomUUID()
    await publish(brokers, messagesTo(topic, ['k'], 50))
    const subscription = await subscribe(openTransport(brokers), [topic], { consumer })
    const deliveries = await receiveCount(subscription, 50)
    await Promise.all(deliveries.toReversed().map((delivery) => subscription.settle([delivery])))
    const [last] = lastOf(deliveries)
    const offsets = await committedOffsets(brokers, consumer, topic, 4)
    expect(Math.max(...offsets.map(Number))).toBe(Number(last!.position) + 1)
  })

  it('hands over a backlog that is larger than its buffer, one message at a time', async () => {
    const topic = newTopic()
    const count = 80
    await publish(
      brokers,
      Array.from({ length: count }, (_, i) =>
        messageTo(topic, `key-${i % 7}`, { payload: Buffer.alloc(400_000, i) }),
      ),
    )
    const subscription = await subscribe(openTransport(brokers), [topic])
    const deliveries: Delivery[] = []
    while (deliveries.length < count) {
      deliveries.push(...(await subscription.receive(1, AbortSignal.timeout(20_000))))
    }
    expect(deliveries.map(({ envelope }) => envelope!.payload.length)).toEqual(deliveries.map(() => 400_000))
  })

  it('answers with nothing when it is told to stop, and when it is closed', async () => {
    const subscription = await subscribe(openTransport(brokers), [newTopic()])
    const stop = new AbortController()
    const first = subscription.receive(10, stop.signal)
    stop.abort()
    expect(await first).toEqual([])
    const second = subscription.receive(10, new AbortController().signal)
    await subscription.close()
    expect(await second).toEqual([])
    await subscription.close()
  })

  it('decodes what others wrote, and hands over as it is what it cannot decode', async () => {
    const topic = newTopic()
    await publish(brokers, [messageTo(topic, 'k')])
    const producer = new Producer<string, Buffer, string, string>({
      clientId: 'test',
      bootstrapBrokers: brokers,
      serializers: { key: bytes, headerKey: bytes, headerValue: bytes },
    })
    onTestFinished(() => producer.close())
    const base = { topic, partition: 0 }
    await producer.send({
      messages: [
        { ...base, key: 'plain', value: Buffer.from('1'), headers: { tenant: 'a' } },
        {
          ...base,
          key: 'event',
          value: Buffer.from('2'),
          headers: { ce_id: '7', ce_source: '/x', ce_type: 't' },
        },
        { ...base, key: 'tombstone', value: null as never, headers: {} },
        { ...base, key: 'newer', value: Buffer.from('3'), headers: { 'waybill-envelope': '99' } },
      ],
    })
    const deliveries = await receiveCount(await subscribe(openTransport(brokers), [topic]), 5)
    const byKey = new Map(deliveries.map((delivery) => [delivery.envelope?.key, delivery]))
    expect(byKey.get('plain')!.envelope).toMatchObject({ channel: topic, headers: { tenant: 'a' } })
    expect(byKey.get('plain')!.envelope!.id[14]).toBe('5')
    expect(byKey.get('event')!.envelope!.id).toBe(foreignMessageId('/x', '7'))
    expect(byKey.get('tombstone')!.envelope!.payload).toHaveLength(0)
    const newer = deliveries.find(({ envelope }) => envelope === null)!
    expect(Buffer.from(newer.raw!.payload).toString()).toBe('3')
    expect(newer.raw!.error).toContain('version "99"')
  })
})

function bytes(text: string | undefined): Buffer {
  return Buffer.from(text ?? '')
}
