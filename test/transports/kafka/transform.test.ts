import { randomUUID } from 'node:crypto'
import { beforeAll, expect, it } from 'vitest'
import { describeWithKafka, kafkaBrokers } from '../../setup/servers.ts'
import { committedOffsets, createTopic, lastOf, publish } from './broker-desk.ts'
import { messagesTo, messageTo, openTransport, outcomes, receiveCount, textOf } from './scene.ts'
import { committedUpTo, outputsOf, subscribeToTransform, transformTo } from './transform-scene.ts'
import { readByJava } from './transactions.ts'

describeWithKafka('transactions of a Kafka subscription', () => {
  let brokers: string[]

  beforeAll(async () => {
    brokers = await kafkaBrokers()
  })

  it('commits positions and outputs to several topics together', async () => {
    const input = await createTopic(brokers, 1)
    const [first, second] = [await createTopic(brokers, 1), await createTopic(brokers, 1)]
    const consumer = randomUUID()
    await publish(brokers, messagesTo(input, ['k'], 10))
    const subscription = await subscribeToTransform(openTransport(brokers), input, consumer)
    const deliveries = await receiveCount(subscription, 10)
    const outputs = [...outputsOf(deliveries, first), ...outputsOf(deliveries.slice(0, 3), second)]
    expect(await subscription.commit!(lastOf(deliveries), outputs, 20_000)).toEqual({ outcome: 'committed' })
    await committedUpTo(brokers, consumer, input, 10n)
    expect(await readByJava(brokers, first, 10)).toEqual(deliveries.map(textOf))
    expect(await readByJava(brokers, second, 3)).toEqual(deliveries.slice(0, 3).map(textOf))
  })

  it('commits positions without outputs', async () => {
    const input = await createTopic(brokers, 1)
    const consumer = randomUUID()
    await publish(brokers, messagesTo(input, ['k'], 4))
    const subscription = await subscribeToTransform(openTransport(brokers), input, consumer)
    const deliveries = await receiveCount(subscription, 4)
    expect(await subscription.commit!([deliveries[1]!], [], 20_000)).toEqual({ outcome: 'committed' })
    await committedUpTo(brokers, consumer, input, 2n)
    await subscription.close()
    const next = await subscribeToTransform(openTransport(brokers), input, consumer)
    expect((await receiveCount(next, 2)).map(textOf)).toEqual(['2', '3'])
  })

  it('says of a rejection which output was the trouble, has nothing of it, and goes on', async () => {
    const input = await createTopic(brokers, 1)
    const output = await createTopic(brokers, 1, { 'max.message.bytes': '2000' })
    const consumer = randomUUID()
    await publish(brokers, messagesTo(input, ['k'], 4))
    const subscription = await subscribeToTransform(openTransport(brokers), input, consumer)
    const deliveries = await receiveCount(subscription, 4)
    const [one, , three] = outputsOf(deliveries, output)
    const outputs = [one!, messageTo(output, 'k', { payload: Buffer.alloc(5000, 'x') }), three!]
    const result = await subscription.commit!(lastOf(deliveries), outputs, 20_000)
    expect(result.outcome).toBe('rejected')
    expect(outcomes('fates' in result ? result.fates : [])).toEqual([
      'rejected: WB_ABORTED',
      'rejected: MESSAGE_TOO_LARGE',
      'rejected: WB_ABORTED',
    ])
    expect(await committedOffsets(brokers, consumer, input, 1)).toEqual([-1n])
    expect(await transformTo(subscription, deliveries, output)).toEqual({ outcome: 'committed' })
    expect(await readByJava(brokers, output, 4)).toEqual(['0', '1', '2', '3'])
  })

  it('refuses what came in an assignment that is over', async () => {
    const input = await createTopic(brokers, 2)
    const output = await createTopic(brokers, 1)
    const consumer = randomUUID()
    await publish(brokers, messagesTo(input, ['a', 'b', 'c', 'd'], 8))
    const subscription = await subscribeToTransform(openTransport(brokers), input, consumer)
    const before = await receiveCount(subscription, 8)
    const other = await subscribeToTransform(openTransport(brokers), input, consumer)
    const again = await receiveCount(other, 1)
    expect(again[0]!.envelope!.id).toBeOneOf(before.map(({ envelope }) => envelope!.id))
    expect(await transformTo(subscription, before, output)).toEqual({ outcome: 'refused' })
    expect(new Set(await committedOffsets(brokers, consumer, input, 2))).toEqual(new Set([-1n]))
  })
})
