import { afterAll, afterEach, beforeAll, expect, it } from 'vitest'
import type { OutboundMessage, Publisher } from '../../../src/ports/transport.ts'
import { until } from '../../../src/testing/until.ts'
import { describeWithKafka } from '../../setup/servers.ts'
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
  startProxiedKafka,
  subscribe,
  textOf,
  type ProxiedKafka,
} from './scene.ts'

describeWithKafka('a Kafka publisher whose broker is in trouble', () => {
  let kafka: ProxiedKafka

  beforeAll(async () => {
    kafka = await startProxiedKafka()
  })

  afterEach(() => kafka.proxy.heal())

  afterAll(async () => {
    await kafka[Symbol.asyncDispose]()
  })

  /** A publisher that has confirmed something to this topic, so that it is connected and knows where the topic is. */
  async function warmPublisher(topic: string): Promise<Publisher> {
    const publisher = await openPublisher(kafka.brokers)
    // A message for each of its lanes, whichever their keys fall to.
    const keys = Array.from({ length: 64 }, (_, i) => `warm-${i}`)
    expect(new Set(outcomes(await publisher.publish(messagesTo(topic, keys, 64), 10_000)))).toEqual(
      new Set(['confirmed']),
    )
    return publisher
  }

  async function works(publisher: Publisher, message: OutboundMessage): Promise<void> {
    await until('a confirmed message', async () => {
      const [fate] = await publisher.publish([message], 5000)
      return fate?.outcome === 'confirmed'
    })
  }

  it('asks for acknowledgement by all replicas in sync, as one idempotent producer', async () => {
    const requests: ProduceRequest[] = []
    void kafka.proxy.dropReplies({
      request: (chunk) => {
        const request = readProduceRequest(chunk)
        if (request !== undefined) requests.push(request)
        return false
      },
    })
    await warmPublisher(newTopic())
    expect(requests.length).toBeGreaterThan(0)
    for (const { acks, producerId } of requests) {
      expect(acks).toBe(-1)
      expect(producerId).toBeGreaterThanOrEqual(0n)
    }
  })

  it('confirms once and writes once where the broker’s answer is lost on the way', async () => {
    const topic = newTopic()
    const publisher = await warmPublisher(topic)
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
    const publisher = await warmPublisher(topic)
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
        code: 'ECONNREFUSED',
        reason: expect.stringContaining('not sent'),
      },
    ])
  })

  it.each([
    ['is stopped', () => kafka.server.pause(), () => kafka.server.resume()],
    ['is behind a black hole', () => kafka.proxy.blackHole(), () => kafka.proxy.heal()],
    ['has forgotten the connection', () => kafka.proxy.halfOpen(), () => kafka.proxy.heal()],
  ])(
    'says "unknown" at the deadline where the broker %s, and works when it is back',
    async (_, begin, end) => {
      const topic = newTopic()
      const publisher = await warmPublisher(topic)
      begin()
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
    const publisher = await warmPublisher(topic)
    kafka.proxy.blackHole()
    const long = publisher.publish([messageTo(topic, 'k')], 30_000)
    const short = await publisher.publish([messageTo(topic, 'k')], 300)
    expect(short[0]).toMatchObject({ outcome: 'rejected', scope: 'destination', code: 'WB_TIMED_OUT' })
    await kafka.proxy.heal()
    expect(outcomes(await long)).toEqual(['confirmed'])
  })

  it('holds back what waits behind a message of its key that was not confirmed', async () => {
    const topic = newTopic()
    const publisher = await warmPublisher(topic)
    kafka.proxy.blackHole()
    const first = publisher.publish([messageTo(topic, 'k')], 300)
    const second = publisher.publish([messageTo(topic, 'k')], 30_000)
    expect(outcomes(await first)).toEqual(['unknown'])
    expect(outcomes(await second)).toEqual(['rejected: WB_ABORTED'])
  })

  it('loses nothing it confirmed when the broker is killed under load, and resumes by itself', async () => {
    const topic = newTopic()
    const publisher = await warmPublisher(topic)
    const confirmed: string[] = []
    let isRestarted = false
    let afterRestart = 0
    const load = async (lane: number): Promise<void> => {
      for (let i = 0; afterRestart < 200; i++) {
        const batch = messagesTo(topic, [`${lane}-a`, `${lane}-b`, `${lane}-c`], 30)
        const isLate = isRestarted
        const fates = await publisher.publish(batch, 3000)
        for (const [index, fate] of fates.entries()) {
          if (fate.outcome !== 'confirmed') continue
          confirmed.push(batch[index]!.envelope.id)
          if (isLate) afterRestart += 1
        }
      }
    }
    const loads = [load(0), load(1), load(2)]
    await until('some confirmed messages', () => confirmed.length > 300)
    await kafka.server.kill()
    await kafka.server.restart()
    isRestarted = true
    await Promise.all(loads)

    const wanted = new Set(confirmed)
    await receiveUntil(await subscribe(openTransport(kafka.brokers), [topic]), (all) => {
      for (const { envelope } of all.slice(-500)) wanted.delete(envelope!.id)
      return wanted.size === 0
    })
    expect(confirmed.length).toBeGreaterThan(500)
  })

  it('takes a broker that answers byte by byte', async () => {
    kafka.proxy.slice(3)
    const topic = newTopic()
    await warmPublisher(topic)
    expect(await receiveCount(await subscribe(openTransport(kafka.brokers), [topic]), 64)).toHaveLength(64)
  })
})

interface ProduceRequest {
  readonly acks: number
  readonly producerId: bigint
}

/** Reads what matters of a Produce request of version 9 or later, by hand; `undefined` for any other. */
function readProduceRequest(chunk: Buffer): ProduceRequest | undefined {
  const [apiKey, version] = chunk.length < 20 ? [-1, -1] : [chunk.readInt16BE(4), chunk.readInt16BE(6)]
  if (apiKey !== 0 || version < 9) return undefined
  // Length, key, version, correlation id, client id, no tags, transactional id (null), acks.
  const body = 14 + chunk.readInt16BE(12) + 1
  expect(chunk[body]).toBe(0)
  const acks = chunk.readInt16BE(body + 1)
  // Time-out, one topic: its name, one partition or more: index, size of the batch (two or three bytes), and its head.
  const topics = body + 1 + 2 + 4
  const name = topics + 2 + chunk[topics + 1]! - 1
  let batch = name + 1 + 4
  while (chunk[batch]! > 127) batch += 1
  return { acks, producerId: chunk.readBigInt64BE(batch + 1 + 43) }
}
