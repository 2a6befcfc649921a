import { ConfigResourceTypes } from '@platformatic/kafka'
import { beforeAll, expect, it } from 'vitest'
import { describeWithKafka, kafkaBrokers } from '../../setup/servers.ts'
import { admin, createTopic } from './broker-desk.ts'
import { openFencedPublisher, outcomeOf, rowsOf, rowsTo, service } from './fenced-scene.ts'

const timeoutMs = 20_000

describeWithKafka('the topic of positions', () => {
  let brokers: string[]

  beforeAll(async () => {
    brokers = await kafkaBrokers()
  })

  it.each(['delete', 'compact,delete'])('is refused with cleanup.policy=%s', async (policy) => {
    const positionsTopic = await createTopic(brokers, 4, { 'cleanup.policy': policy })
    const publisher = await openFencedPublisher(brokers, { ...service(), positionsTopic })
    await expect(publisher.takeOver(0, timeoutMs)).rejects.toMatchObject({
      code: 'WB_GUARANTEE_UNSUPPORTED',
      retryable: 'no',
      message:
        `Exactly-once needs the Kafka topic "${positionsTopic}", which has cleanup.policy=${policy}, under which Kafka ` +
        'removes notes that are still needed. Set cleanup.policy=compact, or name another topic as `positionsTopic`.',
    })
  })

  it('is refused where it is missing, or too small, and may not be made', async () => {
    const own = { ...service(), createTopics: false }
    const publisher = await openFencedPublisher(brokers, own)
    const refusal = (state: string): object => ({
      code: 'WB_GUARANTEE_UNSUPPORTED',
      message: expect.stringContaining(state) as string,
    })
    await expect(publisher.takeOver(0, timeoutMs)).rejects.toMatchObject(refusal('does not exist'))
    const positionsTopic = await createTopic(brokers, 4, { 'cleanup.policy': 'compact' })
    const small = await openFencedPublisher(brokers, { ...own, positionsTopic })
    await small.takeOver(3, timeoutMs)
    await expect(small.takeOver(4, timeoutMs)).rejects.toMatchObject(refusal('has 4 partitions'))
  })

  it('is made compacted by relays that start together, and grows with the outbox', async () => {
    const own = service()
    const topic = await createTopic(brokers, 2)
    const publishers = await Promise.all([1, 2, 3].map(() => openFencedPublisher(brokers, own)))
    await Promise.all(
      publishers.flatMap((publisher, i) => [0, 1, 2].map((j) => publisher.takeOver(3 * i + j, timeoutMs))),
    )
    const [first, second] = publishers
    const batch = rowsTo(topic, 1, 10)
    expect(outcomeOf(await first!.publish(2, { epoch: 1n, number: 1n }, batch, timeoutMs))).toBe('committed')
    await second!.takeOver(40, timeoutMs)
    const later = rowsTo(topic, 11, 10)
    expect(outcomeOf(await second!.publish(40, { epoch: 1n, number: 1n }, later, timeoutMs))).toBe(
      'committed',
    )
    // Who took over before it grew goes on.
    const next = rowsTo(topic, 21, 10)
    expect(outcomeOf(await first!.publish(2, { epoch: 1n, number: 2n }, next, timeoutMs))).toBe('committed')
    expect((await first!.takeOver(2, timeoutMs)).last?.rows).toEqual(rowsOf(next))
    expect((await second!.takeOver(40, timeoutMs)).last?.rows).toEqual(rowsOf(later))
    const client = admin(brokers)
    const name = own.positionsTopic!
    expect((await client.metadata({ topics: [name] })).topics.get(name)?.partitionsCount).toBe(48)
    const [described] = await client.describeConfigs({
      resources: [{ resourceType: ConfigResourceTypes.TOPIC, resourceName: name }],
    })
    expect(described!.configs.find((config) => config.name === 'cleanup.policy')?.value).toBe('compact')
  })

  it('keeps two services apart that share it, whatever one of them has open', async () => {
    const { positionsTopic } = service()
    const topic = await createTopic(brokers, 1)
    const [a, b] = await Promise.all(
      ['a', 'b'].map((name) =>
        openFencedPublisher(brokers, {
          positionsTopic: positionsTopic!,
          transactionalIdPrefix: `${positionsTopic}-${name}`,
        }),
      ),
    )
    await a!.takeOver(0, timeoutMs)
    await b!.takeOver(0, timeoutMs)
    const [ofA, ofB] = [rowsTo(topic, 1, 5), rowsTo(topic, 100, 5)]
    expect(outcomeOf(await a!.publish(0, { epoch: 1n, number: 1n }, ofA, timeoutMs))).toBe('committed')
    for (let number = 1n; number <= 80n; number++) {
      expect(outcomeOf(await b!.publish(0, { epoch: 9n, number }, ofB, timeoutMs))).toBe('committed')
    }
    expect((await a!.takeOver(0, timeoutMs)).last).toEqual({ epoch: 1n, number: 1n, rows: rowsOf(ofA) })
    expect((await b!.takeOver(0, timeoutMs)).last).toEqual({ epoch: 9n, number: 80n, rows: rowsOf(ofB) })
  })
})
