import { randomInt, randomUUID } from 'node:crypto'
import { fileURLToPath } from 'node:url'
import { afterAll, afterEach, beforeAll, expect, it, onTestFinished } from 'vitest'
import { newMessageId } from '../../src/kernel/ids.ts'
import type { OutboundMessage } from '../../src/ports/transport.ts'
import { spawnChild, until, type Child } from '../../src/testing.ts'
import { describeWithKafka } from '../setup/servers.ts'
import { committedOffsets, createTopic, publish } from '../transports/kafka/broker-desk.ts'
import { seenByJava } from '../transports/kafka/fenced-scene.ts'
import { messageTo, quickGroups, startProxiedKafka, type ProxiedKafka } from '../transports/kafka/scene.ts'
import type { TransformTopics } from './transform-channels.ts'

const count = 2000
const partitions = 4
const keys = Array.from({ length: 20 }, (_, i) => `key-${i}`)

describeWithKafka('a service that transforms', () => {
  let kafka: ProxiedKafka
  let topics: TransformTopics
  let consumer: string
  let inputs: OutboundMessage[]

  beforeAll(async () => {
    kafka = await startProxiedKafka({
      ...quickGroups,
      'transaction.abort.timed.out.transaction.cleanup.interval.ms': '100',
    })
  })

  afterEach(() => kafka.proxy.heal())

  afterAll(async () => {
    await kafka[Symbol.asyncDispose]()
  })

  const arrange = async (): Promise<void> => {
    const brokers = kafka.brokers
    const [labels, bills] = [await createTopic(brokers, 1), await createTopic(brokers, 1)]
    topics = { orders: await createTopic(brokers, partitions), labels, bills }
    consumer = randomUUID()
    inputs = Array.from({ length: count }, (_, i) => {
      const more = { id: newMessageId(), channel: 'orders', payload: Buffer.from(String(i)) }
      return messageTo(topics.orders, keys[i % keys.length]!, more)
    })
    await publish(brokers, inputs)
  }

  const service = (failpoints?: string): Child => {
    const child = spawnChild({
      script: fileURLToPath(new URL('children/transformer.ts', import.meta.url)),
      args: [JSON.stringify({ brokers: kafka.brokers, topics, consumer })],
      ...(failpoints === undefined ? {} : { failpoints }),
    })
    onTestFinished(async () => void (await child.kill()))
    return child
  }

  const handledSome = (child: Child, times = 1): Promise<string> =>
    child.waitForLine((line) => line === `handled ${50 * times}`, 60_000)

  /** How many inputs the group has committed. */
  const committed = async (): Promise<number> => {
    const offsets = await committedOffsets(kafka.brokers, consumer, topics.orders, partitions)
    return offsets.reduce((sum, offset) => sum + Math.max(0, Number(offset)), 0)
  }

  const allCommitted = (): Promise<unknown> =>
    until('all of it', async () => (await committed()) === count, { timeoutMs: 120_000 })

  /** Each input is at both outputs exactly once, in order for each key. */
  const expectExactlyOnce = async (): Promise<void> => {
    for (const topic of [topics.labels, topics.bills]) {
      // Behind all that was committed: had something come twice, this would not be the last of so many.
      await publish(kafka.brokers, [messageTo(topic, 'end', { payload: Buffer.from('end') })])
      const seen = await seenByJava(kafka.brokers, topic, count + 1)
      expect(seen.pop()).toEqual({ key: 'end', text: 'end' })
      for (const [k, key] of keys.entries()) {
        const numbers = seen.filter((one) => one.key === key).map(({ text }) => Number(text))
        expect(numbers).toEqual(Array.from({ length: count / keys.length }, (_, i) => k + i * keys.length))
      }
    }
  }

  it('has each output exactly once, in order, at both channels', async () => {
    await arrange()
    service()
    await allCommitted()
    await expectExactlyOnce()
  })

  it('has each output exactly once whenever it is killed, and whoever else comes and goes', async () => {
    await arrange()
    for (let i = 0; i < 4; i++) {
      const child = service()
      await handledSome(child)
      await new Promise((resolve) => setTimeout(resolve, randomInt(50)))
      await child.kill()
    }
    // Of these the second is killed with a transaction that is committed and not known to be.
    for (const point of ['consumer.before-commit=kill@7', 'consumer.after-commit=kill@7']) {
      await service(point).exited
    }
    const constant = service()
    await handledSome(constant)
    const guest = service()
    await guest.waitForLine((line) => line.startsWith('handled'), 60_000)
    await guest.terminate()
    await allCommitted()
    await expectExactlyOnce()
  })

  it('has no effect any more when it was stopped for longer than its session', async () => {
    await arrange()
    const zombie = service('consumer.before-commit=stop@6')
    await until('some commits', async () => (await committed()) > 0)
    const successor = service()
    await handledSome(successor)
    zombie.resume()
    await zombie.waitForLine((line) => line.includes('a transaction of a transform is refused'), 60_000)
    await allCommitted()
    await expectExactlyOnce()
  })
})
