import { randomUUID } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { silentLogger, type Logger } from '../../../src/kernel/logger.ts'
import { describeWithKafka } from '../../setup/servers.ts'
import { committedOffsets, publish } from './broker-desk.ts'
import {
  groupProtocols,
  idsOf,
  messagesTo,
  messageTo,
  newTopic,
  openPublisher,
  openTransport,
  quickGroups,
  receiveCount,
  receiveUntil,
  proxiedKafka,
  subscribe,
  textOf,
} from './scene.ts'

const timing = { sessionTimeoutMs: 600, requestTimeoutMs: 3000 }

describeWithKafka('a Kafka subscription whose broker is in trouble', () =>
  describe.each(groupProtocols)('(%s protocol)', (groupProtocol) => {
    const quick = { ...timing, groupProtocol }

    const kafka = proxiedKafka(quickGroups)

    it('resumes by itself when the broker was killed, and what was settled before stays settled', async () => {
      const topic = newTopic()
      const consumer = randomUUID()
      await publish(kafka.brokers, messagesTo(topic, ['k'], 10))
      const subscription = await subscribe(openTransport(kafka.brokers, { groupProtocol }), [topic], {
        consumer,
      })
      await subscription.settle([(await receiveCount(subscription, 10)).at(-1)!])
      await kafka.server.kill()
      const waiting = receiveUntil(subscription, (all) =>
        all.some((delivery) => textOf(delivery) === 'after'),
      )
      await kafka.server.restart()
      await publish(kafka.brokers, [messageTo(topic, 'k', { payload: Buffer.from('after') })])
      const received = await waiting
      expect(received.map(textOf)).toEqual(['after'])
      await subscription.settle(received)
      await subscription.close()
      await publish(kafka.brokers, [messageTo(topic, 'k', { payload: Buffer.from('last') })])
      const next = await subscribe(openTransport(kafka.brokers, { groupProtocol }), [topic], { consumer })
      expect((await receiveCount(next, 1)).map(textOf)).toEqual(['last'])
    })

    it('joins when a broker comes up, where none could be reached at its start', async () => {
      const topic = newTopic()
      await publish(kafka.brokers, [messageTo(topic, 'k')])
      kafka.proxy.refuse()
      const warned = Promise.withResolvers<unknown>()
      const logger: Logger = { ...silentLogger, debug: (fields) => warned.resolve(fields['error']) }
      const subscription = await subscribe(openTransport(kafka.brokers, { groupProtocol }, logger), [topic])
      expect(await warned.promise).toBe('ECONNREFUSED')
      await kafka.proxy.heal()
      expect(await receiveCount(subscription, 1)).toHaveLength(1)
    })

    it('goes on after its connections were reset, forgotten or held up', async () => {
      const topic = newTopic()
      await publish(kafka.brokers, [messageTo(topic, 'k')])
      const subscription = await subscribe(openTransport(kafka.brokers, quick), [topic])
      await receiveCount(subscription, 1)
      for (const fault of ['reset', 'halfOpen', 'blackHole'] as const) {
        kafka.proxy[fault]()
        await kafka.proxy.heal()
        const message = messageTo(topic, 'k')
        await publish(kafka.brokers, [message])
        await receiveUntil(subscription, (all) => idsOf(all).includes(message.envelope.id))
      }
    })

    it('goes on after the broker stood still', async () => {
      const topic = newTopic()
      await publish(kafka.brokers, [messageTo(topic, 'k')])
      const subscription = await subscribe(openTransport(kafka.brokers, quick), [topic])
      await receiveCount(subscription, 1)
      const publisher = await openPublisher(kafka.brokers)
      await kafka.server.pause()
      // Longer than a session lasts: the broker wakes up with members that it takes for dead.
      const [fate] = await publisher.publish([messageTo(topic, 'k')], 2 * quick.sessionTimeoutMs)
      expect(fate!.outcome).not.toBe('confirmed')
      kafka.server.resume()
      const message = messageTo(topic, 'k')
      await publish(kafka.brokers, [message])
      await receiveUntil(subscription, (all) => idsOf(all).includes(message.envelope.id))
    })

    it('says within its time that a settlement was not answered, and takes nothing behind it in the same assignment', async () => {
      const topic = newTopic()
      const consumer = randomUUID()
      await publish(kafka.brokers, messagesTo(topic, ['k'], 10))
      // Longer than the pause: that alone does not cost the membership.
      const options = { groupProtocol, requestTimeoutMs: 500, sessionTimeoutMs: 2000, partitionsPerTopic: 1 }
      const subscription = await subscribe(openTransport(kafka.brokers, options), [topic], { consumer })
      const deliveries = await receiveCount(subscription, 10)
      await kafka.server.pause()
      try {
        await expect(subscription.settle([deliveries[3]!])).rejects.toMatchObject({
          code: 'WB_BROKER_UNREACHABLE',
          retryable: 'yes',
        })
      } finally {
        kafka.server.resume()
      }
      // The broker may carry out the first one after this one, which would move the position back.
      expect(await subscription.settle([deliveries[5]!])).toEqual([false])
      const again = await receiveUntil(
        subscription,
        (all) => textOf(all.at(-1) ?? { envelope: null }) === '9',
      )
      expect(again[0]!.assignment).toBeGreaterThan(deliveries[0]!.assignment)
      expect([0n, 4n]).toContain(again[0]!.position)
      expect(await subscription.settle([again.at(-1)!])).toEqual([true])
      const offsets = await committedOffsets(kafka.brokers, consumer, topic, 4)
      expect(Math.max(...offsets.map(Number))).toBe(10)
    })
  }),
)
