import { randomUUID } from 'node:crypto'
import { expect, it } from 'vitest'
import type { Delivery, Subscription } from '../../../src/ports/transport.ts'
import type { KafkaTransportOptions } from '../../../src/transports/kafka/options.ts'
import { describeWithKafka } from '../../setup/servers.ts'
import { createTopic, lastOf, publish } from './broker-desk.ts'
import { fenceAt } from './fenced-scene.ts'
import {
  idsOf,
  messagesTo,
  openTransport,
  outcomes,
  quickGroups,
  receiveCount,
  proxiedKafka,
} from './scene.ts'
import { committedUpTo, outputsOf, subscribeToTransform, transformTo } from './transform-scene.ts'
import { readByJava } from './transactions.ts'

const endTransaction = 26
const commitOffsets = 28
const timing = { sessionTimeoutMs: 600, requestTimeoutMs: 3000 }

/** Whether a chunk begins a request of this kind. */
function asks(api: number): (chunk: Buffer) => boolean {
  return (chunk) => chunk.length > 8 && chunk.readInt16BE(4) === api
}

describeWithKafka('transactions of a Kafka subscription whose broker is in trouble', () => {
  const kafka = proxiedKafka({
    ...quickGroups,
    'transaction.abort.timed.out.transaction.cleanup.interval.ms': '100',
  })
  let input: string
  let output: string
  let consumer: string
  let subscription: Subscription
  let first: Delivery[]

  /** Twenty inputs, of which the first five are transformed. */
  const warm = async (options: Partial<KafkaTransportOptions> = {}): Promise<void> => {
    input = await createTopic(kafka.brokers, 1)
    output = await createTopic(kafka.brokers, 1)
    consumer = randomUUID()
    await publish(kafka.brokers, messagesTo(input, ['k'], 20))
    const transport = openTransport(kafka.brokers, { ...timing, ...options })
    subscription = await subscribeToTransform(transport, input, consumer)
    first = await receiveCount(subscription, 20)
    expect(await transformTo(subscription, first.slice(0, 5), output)).toEqual({ outcome: 'committed' })
  }

  /** Receives what is assigned anew, transforms it, and looks at the output as a whole. */
  const finishAndJudge = async (done: number): Promise<void> => {
    const rest = await receiveCount(subscription, 20 - done)
    expect(idsOf(rest)).toEqual(idsOf(first.slice(done)))
    expect(rest[0]!.assignment).toBeGreaterThan(first[0]!.assignment)
    expect(await transformTo(subscription, rest, output)).toEqual({ outcome: 'committed' })
    await expectAll()
  }

  const expectAll = async (): Promise<void> => {
    await publish(kafka.brokers, messagesTo(output, ['k'], 1))
    expect(await readByJava(kafka.brokers, output, 21)).toEqual([...Array(20).keys(), 0].map(String))
  }

  it.each([
    ['an answer to its positions', commitOffsets],
    ['the answer to its commit', endTransaction],
  ])('commits once where %s is lost on the way', async (_, api) => {
    // Its member is not to be given up by a busy machine: it would have nothing to commit, and nothing would be lost on the way.
    await warm({ sessionTimeoutMs: 30_000 })
    let isLost = false
    void kafka.proxy.dropReplies({ request: asks(api) }).then(() => (isLost = true))
    expect(await transformTo(subscription, first.slice(5), output)).toEqual({ outcome: 'committed' })
    expect(isLost).toBe(true)
    await committedUpTo(kafka.brokers, consumer, input, 20n)
    await expectAll()
  })

  it('says "unknown" where the answer to its commit is lost with the broker, and goes on behind what is there', async () => {
    await warm()
    const lost = kafka.proxy.dropReplies({
      request: (chunk) => {
        if (!asks(endTransaction)(chunk)) return false
        kafka.proxy.refuse()
        return true
      },
    })
    const result = transformTo(subscription, first.slice(5, 10), output, 1000)
    await lost
    expect(await result).toMatchObject({ outcome: 'unknown', code: 'WB_PUBLISH_OUTCOME_UNKNOWN' })
    // The same once more would be there twice.
    expect(await transformTo(subscription, first.slice(5, 10), output, 1000)).toEqual({ outcome: 'refused' })
    await kafka.proxy.heal()
    await finishAndJudge(10)
  })

  it('says "unknown" where its commit is lost on the way, and does it again', async () => {
    await warm()
    const { promise: asked, resolve } = Promise.withResolvers<void>()
    void kafka.proxy.dropReplies({
      request: (chunk) => {
        if (asks(endTransaction)(chunk)) {
          kafka.proxy.halfOpen()
          resolve()
        }
        return false
      },
    })
    const result = transformTo(subscription, first.slice(5, 10), output, 1000)
    await asked
    expect(await result).toMatchObject({ outcome: 'unknown' })
    await kafka.proxy.heal()
    await finishAndJudge(5)
  })

  it.each([
    ['is stopped', () => kafka.server.pause(), () => kafka.server.resume()],
    ['is behind a black hole', () => kafka.proxy.blackHole(), () => kafka.proxy.heal()],
    ['cannot be reached', () => (kafka.proxy.refuse(), kafka.proxy.reset()), () => kafka.proxy.heal()],
  ])('has nothing of it where the broker %s before its commit', async (_, cut, mend) => {
    await warm()
    await cut()
    const result = await transformTo(subscription, first.slice(5, 10), output, 500)
    expect(result.outcome).toBe('rejected')
    expect('fates' in result ? result.fates.length : 0).toBe(5)
    await mend()
    // The session may be over by now, or not.
    let rest = first.slice(5)
    for (;;) {
      const next = await transformTo(subscription, rest, output)
      if (next.outcome === 'committed') break
      expect(next.outcome).toBeOneOf(['rejected', 'refused'])
      if (next.outcome === 'refused') rest = await receiveCount(subscription, 15)
    }
    await committedUpTo(kafka.brokers, consumer, input, 20n)
    await expectAll()
  })

  it('refuses the positions of a member that the group has given up, with what it wrote aborted', async () => {
    await warm()
    // As SIGSTOP does: no heartbeat leaves for longer than the session lasts; the commit is the first that does.
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 3 * timing.sessionTimeoutMs)
    const result = subscription.commit!(lastOf(first), outputsOf(first.slice(5), output), 20_000)
    expect(await result).toEqual({ outcome: 'refused' })
    await finishAndJudge(5)
  })

  it('goes on with a new producer where the broker has given its own up, as one whose transaction was open for too long', async () => {
    const transactionalIdPrefix = `prefix-${randomUUID()}`
    await warm({ transactionalIdPrefix })
    const { promise: found, resolve } = Promise.withResolvers<string>()
    void kafka.proxy.dropReplies({
      request: (chunk) => {
        const text = chunk.toString('latin1')
        const start = text.indexOf(`${transactionalIdPrefix}-transform-${consumer}-`)
        if (asks(commitOffsets)(chunk))
          resolve(text.slice(start, start + 2 * 36 + 12 + transactionalIdPrefix.length))
        return false
      },
    })
    expect(await transformTo(subscription, first.slice(5, 10), output)).toEqual({ outcome: 'committed' })
    await fenceAt(kafka.proxy.port, await found)
    const result = await transformTo(subscription, first.slice(10), output)
    expect(outcomes('fates' in result ? result.fates : [])[0]).toMatch(
      /^rejected: (?:INVALID_PRODUCER_EPOCH|PRODUCER_FENCED)$/u,
    )
    expect(await transformTo(subscription, first.slice(10), output)).toEqual({ outcome: 'committed' })
    await expectAll()
  })
})
