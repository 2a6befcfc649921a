import { setImmediate } from 'node:timers/promises'
import { expect, it } from 'vitest'
import { until } from '../../../src/testing/until.ts'
import { describeWithKafka } from '../../setup/servers.ts'
import { createTopic } from './broker-desk.ts'
import { arrives, countsOf, openDispatcher, readAll, warmDispatcher, words } from './dispatch-scene.ts'
import { readProduceRequest, type ProduceRequest } from './produce-request.ts'
import type { Dispatch, OutboundMessage } from '../../../src/ports/transport.ts'
import { idsOf, messageTo, newTopic, proxiedKafka } from './scene.ts'

describeWithKafka('a Kafka dispatcher whose broker is in trouble', () => {
  const kafka = proxiedKafka()

  it('asks for no acknowledgement, under a number of its own', async () => {
    const topic = await createTopic(kafka.brokers, 1)
    const dispatcher = await openDispatcher(kafka.brokers)
    const requests: ProduceRequest[] = []
    void kafka.proxy.dropReplies({
      request: (chunk) => {
        const request = readProduceRequest(chunk)
        if (request !== undefined) requests.push(request)
        return false
      },
    })
    const batch = Array.from({ length: 20 }, () => messageTo(topic, 'k'))
    for (const message of batch) await dispatcher.dispatch([message], 10_000)
    await arrives(dispatcher, kafka.brokers)
    const counts = countsOf(batch, await readAll(kafka.brokers, topic))
    expect(new Set(counts.values())).toEqual(new Set([1]))
    const ours = requests.filter(({ acks }) => acks === 0)
    expect(ours.length).toBeGreaterThan(0)
    const [number, ...others] = new Set(ours.map(({ producerId }) => producerId))
    expect(number).toBeGreaterThanOrEqual(0n)
    expect(others).toEqual([])
    // The publisher of the last message.
    expect(requests.some(({ acks }) => acks === -1)).toBe(true)
  })

  it('sends nothing twice while connections are reset, and nothing that it dropped', async () => {
    const topic = await createTopic(kafka.brokers, 1)
    const dispatcher = await warmDispatcher(kafka.brokers, topic)
    const sent: OutboundMessage[] = []
    const results: Dispatch[] = []
    for (let round = 0; round < 300; round++) {
      const batch = Array.from({ length: 5 }, () => messageTo(topic, 'k'))
      sent.push(...batch)
      results.push(...(await dispatcher.dispatch(batch, 5000)))
      // What was written leaves the process now, or meets the reset on its way.
      await setImmediate()
      if (round % 20 === 10) kafka.proxy.reset()
    }
    await arrives(dispatcher, kafka.brokers)
    const counts = countsOf(sent, await readAll(kafka.brokers, topic))
    expect(Math.max(...counts.values())).toBe(1)
    expect([...counts.values()].filter((count) => count === 1).length).toBeGreaterThan(200)
    // The fault was there: something was lost.
    expect(Math.min(...counts.values())).toBe(0)
    for (const [i, { outcome }] of results.entries()) {
      if (outcome === 'dropped') expect(counts.get(sent[i]!.envelope.id)).toBe(0)
    }
  })

  it('lets nothing that a connection still held when it was given up come behind what the next one brought', async () => {
    const topic = await createTopic(kafka.brokers, 1)
    const dispatcher = await warmDispatcher(kafka.brokers, topic, { requestTimeoutMs: 300 })
    kafka.proxy.slice(1)
    const payload = Buffer.alloc(10_000)
    const slow = Array.from({ length: 50 }, () => messageTo(topic, 'k', { payload }))
    expect(new Set(words(await dispatcher.dispatch(slow, 10_000)))).toEqual(new Set(['dispatched']))
    const { accepted, connections } = kafka.proxy
    await until('another connection', async () => {
      // Asks for a topic on the connection in which the others stand, in vain.
      await dispatcher.dispatch([messageTo(newTopic(), 'k')], 100)
      return kafka.proxy.accepted > accepted
    })
    kafka.proxy.slice(0)
    const quick = Array.from({ length: 50 }, () => messageTo(topic, 'k'))
    for (const message of quick) await dispatcher.dispatch([message], 10_000)
    await until('the end of the first connection', () => kafka.proxy.connections <= connections)
    await arrives(dispatcher, kafka.brokers)
    const sent = idsOf([...slow, ...quick])
    const places = idsOf(await readAll(kafka.brokers, topic)).map((id) => sent.indexOf(id))
    expect(places).toEqual(places.toSorted((a, b) => a - b))
    expect(places).toContain(sent.length - 1)
  })

  it('knows when what it sent is with the broker, and says so no later than asked', async () => {
    const topic = await createTopic(kafka.brokers, 1)
    const dispatcher = await warmDispatcher(kafka.brokers, topic)
    kafka.proxy.latency(200)
    const sent = Array.from({ length: 5 }, () => messageTo(topic, 'k'))
    await dispatcher.dispatch(sent, 10_000)
    await dispatcher.flush!(10_000)
    // What is held back now has come too late to be seen.
    kafka.proxy.blackHole()
    await dispatcher.dispatch([messageTo(topic, 'k')], 10_000)
    await dispatcher.flush!(50)
    kafka.proxy.reset()
    await kafka.proxy.heal()
    expect(new Set(countsOf(sent, await readAll(kafka.brokers, topic)).values())).toEqual(new Set([1]))
  })

  it.each([
    ['is stopped', () => kafka.server.pause(), () => kafka.server.resume()],
    ['is behind a black hole', () => kafka.proxy.blackHole(), () => kafka.proxy.heal()],
    ['has forgotten the connection', () => kafka.proxy.halfOpen(), () => kafka.proxy.heal()],
  ])(
    'waits for no answer where the broker %s, drops what needs one, and works when it is back',
    async (_, begin, end) => {
      const topic = await createTopic(kafka.brokers, 1)
      const dispatcher = await warmDispatcher(kafka.brokers, topic)
      const sent = Array.from({ length: 10 }, () => messageTo(topic, 'k'))
      const elsewhere = messageTo(newTopic(), 'k')
      await begin()
      try {
        expect(new Set(words(await dispatcher.dispatch(sent, 60_000)))).toEqual(new Set(['dispatched']))
        expect((await dispatcher.dispatch([elsewhere], 300))[0]!.outcome).toBe('dropped')
      } finally {
        await end()
      }
      await arrives(dispatcher, kafka.brokers)
      const counts = countsOf(sent, await readAll(kafka.brokers, topic))
      expect(Math.max(...counts.values())).toBeLessThanOrEqual(1)
    },
  )

  it('says before a send whether anybody is there for it', async () => {
    const topic = await createTopic(kafka.brokers, 1)
    const dispatcher = await openDispatcher(kafka.brokers)
    expect(await dispatcher.isReady(topic, 10_000)).toBe(true)
    kafka.proxy.refuse()
    kafka.proxy.reset()
    await until('it knows', async () => !(await dispatcher.isReady(topic, 100)))
    await kafka.proxy.heal()
    expect(await dispatcher.isReady(topic, 10_000)).toBe(true)
  })

  it('knows that nothing has left while no broker can be reached', async () => {
    const topic = await createTopic(kafka.brokers, 1)
    const dispatcher = await warmDispatcher(kafka.brokers, topic)
    kafka.proxy.refuse()
    kafka.proxy.reset()
    const dropped: OutboundMessage[] = []
    await until('a dispatcher that has noticed', async () => {
      const message = messageTo(topic, 'k')
      const [result] = await dispatcher.dispatch([message], 300)
      if (result!.outcome === 'dispatched') return false
      dropped.push(message)
      expect(words([result!])).toEqual(['dropped: WB_BROKER_UNREACHABLE'])
      return true
    })
    const fresh = await openDispatcher(kafka.brokers)
    dropped.push(messageTo(topic, 'k'))
    expect(words(await fresh.dispatch(dropped.slice(-1), 300))).toEqual(['dropped: WB_BROKER_UNREACHABLE'])
    await kafka.proxy.heal()
    await arrives(dispatcher, kafka.brokers)
    const counts = countsOf(dropped, await readAll(kafka.brokers, topic))
    expect(new Set(counts.values())).toEqual(new Set([0]))
  })

  it('goes on after its broker was killed, with each message there at most once', async () => {
    const topic = await createTopic(kafka.brokers, 1)
    const dispatcher = await warmDispatcher(kafka.brokers, topic)
    const sent: OutboundMessage[] = []
    const send = async (): Promise<void> => {
      sent.push(messageTo(topic, 'k'))
      await dispatcher.dispatch(sent.slice(-1), 200)
      await setImmediate()
    }
    for (let i = 0; i < 50; i++) await send()
    // Behind them on the same connection, so they have arrived too.
    await arrives(dispatcher, kafka.brokers)
    const killing = kafka.server.kill()
    for (let i = 0; i < 10; i++) await send()
    await killing
    await kafka.server.restart()
    await arrives(dispatcher, kafka.brokers)
    for (let i = 0; i < 50; i++) await send()
    await arrives(dispatcher, kafka.brokers)
    const counts = countsOf(sent, await readAll(kafka.brokers, topic))
    expect(Math.max(...counts.values())).toBe(1)
    expect(new Set([...counts.values()].slice(0, 50))).toEqual(new Set([1]))
    expect(new Set([...counts.values()].slice(-50))).toEqual(new Set([1]))
  })
})
