import { inspect } from 'node:util'
import { expect, it } from 'vitest'
import { until } from '../../../src/testing/until.ts'
import { describeWithKafka } from '../../setup/servers.ts'
import { warmPublisher, works } from './broker-desk.ts'
import { readProduceRequest, type ProduceRequest } from './produce-request.ts'
import {
  idsOf,
  messagesTo,
  messageTo,
  newTopic,
  openPublisher,
  openTransport,
  outcomes,
  receiveCount,
  receiveUntil,
  proxiedKafka,
  subscribe,
  textOf,
} from './scene.ts'

describeWithKafka('a Kafka publisher whose broker is in trouble', () => {
  const kafka = proxiedKafka()

  it('asks for acknowledgement by all replicas in sync, as one idempotent producer', async () => {
    const requests: ProduceRequest[] = []
    void kafka.proxy.dropReplies({
      request: (chunk) => {
        const request = readProduceRequest(chunk)
        if (request !== undefined) requests.push(request)
        return false
      },
    })
    await warmPublisher(kafka.brokers, newTopic())
    expect(requests.length).toBeGreaterThan(0)
    for (const { acks, producerId } of requests) {
      expect(acks).toBe(-1)
      expect(producerId).toBeGreaterThanOrEqual(0n)
    }
  })

  it('confirms once and writes once where the broker’s answer is lost on the way', async () => {
    const topic = newTopic()
    const publisher = await warmPublisher(kafka.brokers, topic)
    const lost = kafka.proxy.dropReplies({ request: (chunk) => readProduceRequest(chunk) !== undefined })
    const batch = messagesTo(topic, ['k'], 5)
    const fates = publisher.publish(batch, 10_000)
    await lost
    expect(outcomes(await fates)).toEqual(batch.map(() => 'confirmed'))
    const last = messageTo(topic, 'k')
    await works(publisher, last)
    const deliveries = await receiveUntil(await subscribe(openTransport(kafka.brokers), [topic]), (all) =>
      idsOf(all).includes(last.envelope.id),
    )
    const ofKey = deliveries.filter(({ envelope }) => envelope?.key === 'k')
    expect(idsOf(ofKey)).toEqual([...idsOf(batch), last.envelope.id])
  })

  it('knows that nothing was sent while no broker can be reached, and goes on when one can', async () => {
    const topic = newTopic()
    const publisher = await warmPublisher(kafka.brokers, topic)
    kafka.proxy.refuse()
    kafka.proxy.reset()
    // What leaves before the reset is noticed may have arrived.
    await until('a publisher that has noticed', async () => {
      const fates = await publisher.publish(messagesTo(topic, ['a', 'b'], 10), 300)
      if (fates.some(({ outcome }) => outcome === 'unknown')) return false
      for (const fate of fates) {
        expect(fate).toMatchObject({ outcome: 'rejected', scope: 'destination', retryable: true })
      }
      return true
    })
    await kafka.proxy.heal()
    await works(publisher, messageTo(topic, 'a'))
  })

  it('refuses what it is first given while no broker can be reached, and names the trouble', async () => {
    kafka.proxy.refuse()
    const publisher = await openPublisher(kafka.brokers)
    expect(await publisher.publish([messageTo(newTopic(), 'k')], 500)).toEqual([
      {
        outcome: 'rejected',
        scope: 'destination',
        retryable: true,
        code: 'WB_BROKER_UNREACHABLE',
        reason: 'It was not sent: no broker took it (ECONNREFUSED).',
      },
    ])
  })

  it('says nothing of credentials where the broker does not take them', async () => {
    const logged: unknown[] = []
    const log = (...all: unknown[]): void => void logged.push(all)
    const logger = { debug: log, info: log, warn: log, error: log }
    const sasl = { mechanism: 'PLAIN', username: 'us3r', password: 's3cret' } as const
    const transport = openTransport(kafka.brokers, { sasl, requestTimeoutMs: 1000 }, logger)
    const publisher = await transport.openPublisher!()
    const subscription = await subscribe(transport, [newTopic()])
    const fates = await publisher.publish([messageTo(newTopic(), 'k')], 1000)
    expect(fates[0]).toMatchObject({ outcome: 'rejected', scope: 'destination' })
    await until('a line of the subscription', () => logged.length > 0)
    await subscription.close()
    expect(inspect([fates, logged], { depth: 20 })).not.toMatch(/us3r|s3cret/u)
  })

  it.each([
    ['is stopped', () => kafka.server.pause(), () => kafka.server.resume()],
    ['is behind a black hole', () => kafka.proxy.blackHole(), () => kafka.proxy.heal()],
    ['has forgotten the connection', () => kafka.proxy.halfOpen(), () => kafka.proxy.heal()],
  ])(
    'says "unknown" at the deadline where the broker %s, and works when it is back',
    async (_, begin, end) => {
      const topic = newTopic()
      const publisher = await warmPublisher(kafka.brokers, topic)
      await begin()
      const first = messageTo(topic, 'k', { payload: Buffer.from('first') })
      try {
        expect(outcomes(await publisher.publish([first], 500))).toEqual(['unknown'])
        // With a producer of its own, which gets no further than its first question.
        expect((await publisher.publish([messageTo(topic, 'k')], 500))[0]).toMatchObject({
          outcome: 'rejected',
          scope: 'destination',
        })
      } finally {
        await end()
      }
      await works(publisher, first)
      const second = messageTo(topic, 'k', { payload: Buffer.from('second') })
      await works(publisher, second)
      const deliveries = await receiveUntil(await subscribe(openTransport(kafka.brokers), [topic]), (all) =>
        idsOf(all).includes(second.envelope.id),
      )
      const texts = deliveries.filter(({ envelope }) => envelope?.key === 'k').map(textOf)
      expect(texts.indexOf('first')).toBe(0)
      expect(texts.indexOf('second')).toBe(texts.length - 1)
    },
  )

  it('keeps a call with a short time from waiting for one with a long time', async () => {
    const topic = newTopic()
    const publisher = await warmPublisher(kafka.brokers, topic)
    kafka.proxy.blackHole()
    const long = publisher.publish([messageTo(topic, 'k')], 30_000)
    const short = await publisher.publish([messageTo(topic, 'k')], 300)
    expect(short[0]).toMatchObject({ outcome: 'rejected', scope: 'destination', code: 'WB_TIMED_OUT' })
    await kafka.proxy.heal()
    expect(outcomes(await long)).toEqual(['confirmed'])
  })

  it('holds back what waits behind a message of its key that was not confirmed', async () => {
    const topic = newTopic()
    const publisher = await warmPublisher(kafka.brokers, topic)
    kafka.proxy.blackHole()
    const first = publisher.publish([messageTo(topic, 'k')], 300)
    const second = publisher.publish([messageTo(topic, 'k')], 30_000)
    expect(outcomes(await first)).toEqual(['unknown'])
    expect(outcomes(await second)).toEqual(['rejected: WB_ABORTED'])
  })

  it('takes a broker that answers byte by byte', async () => {
    kafka.proxy.slice(3)
    const topic = newTopic()
    await warmPublisher(kafka.brokers, topic)
    expect(await receiveCount(await subscribe(openTransport(kafka.brokers), [topic]), 64)).toHaveLength(64)
  })
})
