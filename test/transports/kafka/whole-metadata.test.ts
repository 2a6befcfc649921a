import * as kafka from '@platformatic/kafka'
import { beforeAll, expect, it, onTestFinished, vi } from 'vitest'
import { withWholeMetadata } from '../../../src/transports/kafka/whole-metadata.ts'
import { describeWithKafka, kafkaBrokers } from '../../setup/servers.ts'
import { createTopic } from './broker-desk.ts'

describeWithKafka('metadata of several topics', () => {
  let brokers: string[]

  beforeAll(async () => {
    brokers = await kafkaBrokers()
  })

  it('has them all where what was known is cleared while the older of them are looked up', async () => {
    const [older, newer] = [await createTopic(brokers, 2), await createTopic(brokers, 3)]
    const client = new (withWholeMetadata(kafka, kafka.Producer))({
      clientId: 'whole',
      bootstrapBrokers: brokers,
      autocreateTopics: false,
    })
    onTestFinished(() => client.close(true))
    vi.useFakeTimers({ toFake: ['Date'] })
    onTestFinished(() => void vi.useRealTimers())
    await client.metadata({ topics: [older] })
    vi.setSystemTime(Date.now() + 3000)
    await client.metadata({ topics: [newer] })
    // What is known of a topic grows old in five seconds: now the first is, and the second is not.
    vi.setSystemTime(Date.now() + 3000)
    const looking = client.metadata({ topics: [older, newer] })
    client.clearMetadata()
    const { topics } = await looking
    expect([older, newer].map((topic) => topics.get(topic)?.partitionsCount)).toEqual([2, 3])
  })
})
