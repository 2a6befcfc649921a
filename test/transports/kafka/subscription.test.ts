import { randomUUID } from 'node:crypto'
import { Producer } from '@platformatic/kafka'
import { beforeAll, expect, it, onTestFinished } from 'vitest'
import { foreignMessageId } from '../../../src/kernel/ids.ts'
import type { Delivery } from '../../../src/ports/transport.ts'
import { describeWithKafka, kafkaBrokers } from '../../setup/servers.ts'
import { publish } from './broker-desk.ts'
import { idsOf, messagesTo, messageTo, newTopic, openTransport, receiveCount, subscribe } from './scene.ts'

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
