import { randomBytes } from 'node:crypto'
import { beforeAll, expect, it } from 'vitest'
import { bucketOf, murmur2 } from '../../../src/transports/kafka/partitioner.ts'
import { describeWithKafka, kafkaBrokers } from '../../setup/servers.ts'
import { createTopic, partitionOf } from './broker-desk.ts'
import { java, openTransport, receiveCount, subscribe } from './scene.ts'

describeWithKafka('the partition that the Java producer gives a key', () => {
  let brokers: string[]

  beforeAll(async () => {
    brokers = await kafkaBrokers()
  })

  async function produceByJava(topic: string, lines: readonly string[]): Promise<void> {
    const properties = ['parse.key=true', 'null.marker=NULL'].flatMap((p) => ['--reader-property', p])
    const args = ['--bootstrap-server', brokers[0]!, '--topic', topic, ...properties]
    await java('ConsoleProducer', args, lines.map((line) => `${line}\n`).join(''))
  }

  it('is the one it has here, for random keys', async () => {
    const partitions = 12
    const topic = await createTopic(brokers, partitions)
    // Of any length, ASCII and not; a random one that fails is in the difference that is printed.
    const keys = Array.from({ length: 1000 }, (_, i) => {
      const bytes = randomBytes(i % 40)
      return i % 2 === 0
        ? bytes.toString('base64')
        : String.fromCodePoint(...Array.from(bytes, (b) => b | 0x100))
    })
    await produceByJava(
      topic,
      keys.map((key) => `${key}\tv`),
    )
    const deliveries = await receiveCount(await subscribe(openTransport(brokers), [topic]), keys.length)
    const theirs = deliveries.map((delivery) => [delivery.envelope!.key, partitionOf(delivery)])
    const ours = theirs.map(([key]) => [key, bucketOf(murmur2(Buffer.from(String(key))), partitions)])
    expect(new Set(theirs.map(([key]) => key))).toEqual(new Set(keys))
    expect(theirs).toEqual(ours)
    expect(new Set(theirs.map(([, partition]) => partition)).size).toBe(partitions)
  })

  it('is read here without a key where it had none', async () => {
    const topic = await createTopic(brokers, 3)
    await produceByJava(
      topic,
      Array.from({ length: 30 }, (_, i) => `NULL\t${i}`),
    )
    const deliveries = await receiveCount(await subscribe(openTransport(brokers), [topic]), 30)
    expect(new Set(deliveries.map(({ envelope }) => envelope!.key))).toEqual(new Set([null]))
  })
})
