import { expect, it } from 'vitest'
import { until } from '../../../src/testing/until.ts'
import { describeWithKafka } from '../../setup/servers.ts'
import { createTopic, publish } from './broker-desk.ts'
import { messageTo, openTransport, quickGroups, receiveCount, proxiedKafka, subscribe } from './scene.ts'

const fetchRequest = 1
const heartbeatRequest = 12

describeWithKafka('a Kafka subscription whose messages nobody takes', () => {
  const kafka = proxiedKafka(quickGroups)

  it('stops fetching when its buffer is full, stays a member, and goes on when something is taken', async () => {
    const topic = await createTopic(kafka.brokers, 1)
    const messages = Array.from({ length: 60 }, () =>
      messageTo(topic, 'k', { payload: Buffer.alloc(400_000) }),
    )
    await publish(kafka.brokers, messages)
    let fetches = 0
    let heartbeats = 0
    // Nothing is dropped: it looks at each request.
    void kafka.proxy.dropReplies({
      request: (chunk) => {
        const api = chunk.length < 8 ? -1 : chunk.readInt16BE(4)
        if (api === fetchRequest) {
          fetches += 1
          heartbeats = 0
        }
        heartbeats += Number(api === heartbeatRequest)
        return false
      },
    })
    // A heartbeat each 200 ms: many more than between two fetches, of which the broker holds the longest for a second.
    const subscription = await subscribe(openTransport(kafka.brokers, { sessionTimeoutMs: 600 }), [topic])
    await until('many heartbeats without a fetch', () => fetches > 0 && heartbeats > 15)
    const whileFull = fetches
    // A fetch brings a mebibyte of a partition, so the buffer of eight is full with some of the 24.
    expect(whileFull).toBeGreaterThan(3)
    expect(whileFull).toBeLessThan(15)
    const deliveries = await receiveCount(subscription, messages.length)
    expect(deliveries.map(({ position }) => position)).toEqual(messages.map((_, i) => BigInt(i)))
    expect(fetches).toBeGreaterThan(whileFull)
    expect(new Set(deliveries.map(({ assignment }) => assignment)).size).toBe(1)
  })
})
