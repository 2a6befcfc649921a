import { randomUUID } from 'node:crypto'
import { beforeAll, expect, it, onTestFinished } from 'vitest'
import type { Delivery } from '../../../src/ports/transport.ts'
import { describeWithKafka, kafkaBrokers } from '../../setup/servers.ts'
import { until } from '../../../src/testing/until.ts'
import { admin, committedOffsets, createTopic, lastOf, publish } from './broker-desk.ts'
import { messagesTo, newTopic, openTransport, receiveCount, receiveUntil, subscribe } from './scene.ts'

describeWithKafka('the members of a Kafka consumer', () => {
  let brokers: string[]

  beforeAll(async () => {
    brokers = await kafkaBrokers()
  })

  it('shares the streams of a topic among the members of a consumer, and takes over from one that leaves', async () => {
    const topic = newTopic()
    const consumer = randomUUID()
    await publish(brokers, messagesTo(topic, ['warm'], 1))
    const revoked: string[] = []
    const transport = openTransport(brokers)
    const one = await subscribe(transport, [topic], {
      consumer,
      onRevoked: (streams) => revoked.push(...streams),
    })
    await receiveCount(one, 1)
    const two = await subscribe(transport, [topic], { consumer })
    const keys = Array.from({ length: 40 }, (_, i) => `key-${i}`)
    // Both receive only after the group was shared out anew: what one held of it was taken away.
    const [batchOne, batchTwo] = [new Set<string>(), new Set<string>()]
    const collect = (into: Set<string>) => (deliveries: readonly Delivery[]) => {
      for (const { stream } of deliveries) into.add(stream)
      return into.size === 2
    }
    const stop = new AbortController()
    onTestFinished(() => stop.abort())
    const load = (async () => {
      while (!stop.signal.aborted) await publish(brokers, messagesTo(topic, keys, 40))
    })()
    await receiveUntil(two, collect(batchTwo))
    await receiveUntil(one, (deliveries) => {
      batchOne.clear()
      return collect(batchOne)(deliveries.filter(({ assignment }) => assignment > 1))
    })
    expect([...batchOne, ...batchTwo].toSorted()).toEqual([0, 1, 2, 3].map((n) => `${topic}/${n}`))
    expect(revoked.toSorted()).toEqual([0, 1, 2, 3].map((n) => `${topic}/${n}`))

    await two.close()
    const all = new Set<string>()
    await receiveUntil(one, (deliveries) => {
      for (const { stream, assignment } of deliveries) if (assignment > 2) all.add(stream)
      return all.size === 4
    })
    stop.abort()
    await load
  })

  it('ignores the settlement of an assignment that is over', async () => {
    const topic = newTopic()
    const consumer = randomUUID()
    await publish(brokers, messagesTo(topic, [null], 70))
    const one = await subscribe(openTransport(brokers), [topic], { consumer })
    const stale = await receiveCount(one, 70)
    await subscribe(openTransport(brokers), [topic], { consumer })
    // It still has half of the streams, and has them anew.
    await receiveUntil(one, (deliveries) => deliveries.some(({ assignment }) => assignment > 1))
    await one.settle(lastOf(stale))
    expect(new Set(await committedOffsets(brokers, consumer, topic, 4))).toEqual(new Set([-1n]))
  })

  it('leaves at once although its group waits for another that hands back', async () => {
    const [topic, consumer] = [await createTopic(brokers, 2), randomUUID()]
    // Half of them in each partition.
    const messages = messagesTo(topic, ['k0', 'k1', 'k3', 'k4'], 20)
    await publish(brokers, messages)
    // So long that nobody waits for its end here.
    const slow = { sessionTimeoutMs: 60_000 }
    let handsBack = false
    const one = await subscribe(openTransport(brokers, slow), [topic], {
      consumer,
      onRevoking: () => (handsBack ? new Promise(() => {}) : Promise.resolve()),
    })
    await receiveCount(one, messages.length)
    const joins = Promise.withResolvers<void>()
    const two = await subscribe(openTransport(brokers, slow), [topic], {
      consumer,
      onRevoking: async () => joins.resolve(),
    })
    await receiveCount(two, messages.length / 2)
    const members = async (): Promise<number> =>
      (await admin(brokers).describeGroups({ groups: [consumer] })).get(consumer)?.members.size ?? 0
    await until('both members', async () => (await members()) === 2)
    handsBack = true
    await subscribe(openTransport(brokers, slow), [topic], { consumer })
    await joins.promise
    await until('all members', async () => (await members()) === 3)
    await two.close()
    expect(await members()).toBe(2)
  })
})
