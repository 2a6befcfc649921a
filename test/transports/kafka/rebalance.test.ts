import { randomUUID } from 'node:crypto'
import { describe, expect, it, onTestFinished } from 'vitest'
import { systemClock } from '../../../src/kernel/clock.ts'
import { silentLogger, type Logger } from '../../../src/kernel/logger.ts'
import { until } from '../../../src/testing/until.ts'
import type { Subscription } from '../../../src/ports/transport.ts'
import { describeWithKafka } from '../../setup/servers.ts'
import { admin, committedOffsets, createTopic, lastOf, publish } from './broker-desk.ts'
import {
  groupProtocols,
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
  proxiedKafka,
  subscribe,
  textOf,
} from './scene.ts'

/** Half of their messages are in each of two partitions. */
const keysOfBoth = ['k0', 'k1', 'k3', 'k4']
const timing = { sessionTimeoutMs: 600, requestTimeoutMs: 3000 }

describeWithKafka('a Kafka subscription whose group or topic changes', () =>
  describe.each(groupProtocols)('(%s protocol)', (groupProtocol) => {
    const quick = { ...timing, groupProtocol }

    const kafka = proxiedKafka(quickGroups)

    async function setUpTwoStreams() {
      const [topic, consumer] = [await createTopic(kafka.brokers, 2), randomUUID()]
      const messages = messagesTo(topic, keysOfBoth, 20)
      await publish(kafka.brokers, messages)
      return { topic, consumer, messages }
    }

    it('gives up its streams when the broker took them away while the process stood still', async () => {
      const topic = newTopic()
      const consumer = randomUUID()
      await admin(kafka.brokers).createTopics({ topics: [topic], partitions: 1, replicas: 1 })
      await publish(kafka.brokers, messagesTo(topic, ['k'], 3))
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
      expect((await committedOffsets(kafka.brokers, consumer, topic, 1))[0]).toBe(-1n)
      const after = await receiveCount(subscription, 3)
      expect(idsOf(after)).toEqual(idsOf(before))
      expect(after[0]!.assignment).toBeGreaterThan(before[0]!.assignment)
    })

    it('lets what is in hand be settled before its streams are given to a member that joins (F16)', async () => {
      const { topic, consumer, messages } = await setUpTwoStreams()
      // A handler may take longer than the broker's session lasts, with the protocol in which that is not the member's own.
      const calm = { groupProtocol, sessionTimeoutMs: 3000 }
      let taken: readonly boolean[] = []
      let isHeld = false
      const one = await subscribe(openTransport(kafka.brokers, calm), [topic], {
        consumer,
        onRevoking: async () => {
          if (taken.length > 0) return
          isHeld = await one.stillHolds!(inHand[0]!)
          await systemClock.sleep(1200)
          // Classic members send no heartbeat meanwhile.
          if (groupProtocol === 'consumer') isHeld &&= await one.stillHolds!(inHand[0]!)
          taken = await one.settle(lastOf(inHand))
        },
      })
      const inHand = await receiveCount(one, messages.length)
      // As before each handler of a key: a heartbeat has been answered.
      expect(await one.stillHolds!(inHand[0]!)).toBe(true)
      const two = await subscribe(openTransport(kafka.brokers, calm), [topic], { consumer })
      const streams = new Set<string>()
      const seen: string[] = []
      const stop = new AbortController()
      onTestFinished(() => stop.abort())
      const later = messagesTo(topic, keysOfBoth, 20)
      const collect = async (member: Subscription): Promise<void> => {
        while (seen.length < later.length) {
          const deliveries = await member.receive(100, stop.signal)
          seen.push(...idsOf(deliveries))
          if (member === two) for (const { stream } of deliveries) streams.add(stream)
          if (seen.length >= later.length) stop.abort()
        }
      }
      await until('the group', async () => taken.length > 0)
      await publish(kafka.brokers, later)
      await Promise.all([collect(one), collect(two)])
      expect([isHeld, taken]).toEqual([true, [true, true]])
      expect(seen.toSorted()).toEqual(idsOf(later).toSorted())
      expect(streams.size).toBe(1)
    })

    it('gives up what it has at once where the group has given it up, however long others take to hand back', async () => {
      const { topic, consumer, messages } = await setUpTwoStreams()
      let isRevoked = false
      const one = await subscribe(openTransport(kafka.brokers, quick), [topic], {
        consumer,
        onRevoked: () => {
          isRevoked = true
        },
      })
      const [first] = await receiveCount(one, messages.length)
      // So long that nobody waits for its end here.
      const slow = { ...quick, sessionTimeoutMs: 60_000 }
      await subscribe(openTransport(kafka.brokers, slow), [topic], {
        consumer,
        onRevoking: () => new Promise(() => {}),
      }).then((two) => receiveCount(two, messages.length / 2))
      await until('its own share', () => isRevoked)
      isRevoked = false
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 3 * quick.sessionTimeoutMs)
      await until('the loss of it', () => isRevoked, { timeoutMs: 20_000 })
      expect(await one.stillHolds!(first!)).toBe(false)
    })

    it('gives its streams away although what is in hand does not end, and says so', async () => {
      const { topic, consumer, messages } = await setUpTwoStreams()
      const warnings: unknown[] = []
      const logger: Logger = { ...silentLogger, warn: (fields) => void warnings.push(fields) }
      const one = await subscribe(openTransport(kafka.brokers, quick, logger), [topic], {
        consumer,
        onRevoking: () => new Promise(() => {}),
      })
      await receiveCount(one, messages.length)
      const two = await subscribe(openTransport(kafka.brokers, { ...quick }), [topic], { consumer })
      await receiveUntil(two, (deliveries) => deliveries.length === messages.length / 2)
      expect(warnings).toContainEqual({ consumer, streams: 2 })
    })

    it('loses nothing, hands out nothing below a committed position and few copies while members come and go under load', async () => {
      const topic = await createTopic(kafka.brokers, 4)
      const consumer = randomUUID()
      const keys = Array.from({ length: 20 }, (_, i) => `key-${i}`)
      const batch = messagesTo(topic, keys, 5000)
      const committed = new Map<string, bigint>()
      const missing = new Set(idsOf(batch))
      const below: string[] = []
      const most = 20
      let settled = 0
      let received = 0
      let ended = 0

      const work = async (signal: AbortSignal): Promise<void> => {
        const transport = openTransport(kafka.brokers, quick)
        const member = await subscribe(transport, [topic], { consumer, onRevoked: () => void (ended += 1) })
        while (!signal.aborted) {
          const deliveries = await member.receive(most, signal)
          received += deliveries.length
          for (const { stream, position, envelope } of deliveries) {
            if (position < (committed.get(stream) ?? 0n)) below.push(`${stream} ${position}`)
            missing.delete(envelope!.id)
          }
          const last = lastOf(deliveries)
          const isTaken = await member.settle(last)
          for (const [i, { stream, position }] of last.entries()) {
            if (isTaken[i] !== true) continue
            settled += 1
            if (position >= (committed.get(stream) ?? 0n)) committed.set(stream, position + 1n)
          }
        }
        await transport.close()
      }

      const stop = new AbortController()
      onTestFinished(() => stop.abort())
      const constant = work(stop.signal)
      const publisher = await openPublisher(kafka.brokers)
      let sent = 0
      const load = (async () => {
        for (; sent < batch.length && !stop.signal.aborted; sent += 100) {
          const fates = await publisher.publish(batch.slice(sent, sent + 100), 20_000)
          expect(new Set(outcomes(fates))).toEqual(new Set(['confirmed']))
          // The members set the pace: messages flow as long as they come and go.
          await until('the members', () => sent - (batch.length - missing.size) < 500)
        }
      })()
      await until('a first settlement', () => settled > 0)
      let guests = 0
      while (missing.size > 0) {
        const leave = new AbortController()
        const guest = work(leave.signal)
        const target = settled + 20
        await until('some settlements', () => settled > target || missing.size === 0)
        leave.abort()
        await guest
        guests += 1
      }
      stop.abort()
      await Promise.all([constant, load])
      expect(guests).toBeGreaterThan(2)
      expect(below).toEqual([])
      // Each assignment that ends leaves what was received last, at most, without a settlement.
      expect(received - batch.length).toBeLessThanOrEqual(ended * most)
    })

    it('reads partitions that a topic is given later', async () => {
      const topic = newTopic()
      await admin(kafka.brokers).createTopics({ topics: [topic], partitions: 1, replicas: 1 })
      await publish(kafka.brokers, [messageTo(topic, 'k')])
      const subscription = await subscribe(openTransport(kafka.brokers, { groupProtocol }), [topic])
      await receiveCount(subscription, 1)
      await admin(kafka.brokers).createPartitions({ topics: [{ name: topic, count: 3 }] })
      await until('the new partitions', async () => {
        const metadata = await admin(kafka.brokers).metadata({ topics: [topic], forceUpdate: true })
        return metadata.topics.get(topic)?.partitions.filter(({ leader }) => leader >= 0).length === 3
      })
      await publish(kafka.brokers, messagesTo(topic, [null], 30))
      const streams = new Set<string>()
      await receiveUntil(subscription, (deliveries) => {
        for (const { stream } of deliveries) streams.add(stream)
        return streams.size === 3
      })
    })

    it('starts at what the log still has, loudly, where its position is gone', async () => {
      const topic = newTopic()
      const consumer = randomUUID()
      await admin(kafka.brokers).createTopics({ topics: [topic], partitions: 1, replicas: 1 })
      await publish(kafka.brokers, messagesTo(topic, ['k'], 20))
      const first = await subscribe(openTransport(kafka.brokers, { groupProtocol }), [topic], { consumer })
      await first.settle([(await receiveCount(first, 20))[4]!])
      await first.close()
      await admin(kafka.brokers).deleteRecords({
        topics: [{ name: topic, partitions: [{ partition: 0, offset: 12n }] }],
      })
      const errors: unknown[] = []
      const logger: Logger = { ...silentLogger, error: (fields) => void errors.push(fields) }
      const second = await subscribe(openTransport(kafka.brokers, { groupProtocol }, logger), [topic], {
        consumer,
      })
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
  }),
)
