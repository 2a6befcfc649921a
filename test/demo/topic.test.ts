import { randomUUID } from 'node:crypto'
import { Consumer } from '@platformatic/kafka'
import { expect, it } from 'vitest'
import { openTopicDesk } from '../../src/demo/topic.ts'
import { until } from '../../src/testing.ts'
import { describeWithKafka, kafkaBrokers } from '../setup/servers.ts'

describeWithKafka('a desk of topics', () => {
  it('tells a group that is shared by all of its members from one that has too few', async () => {
    const brokers = await kafkaBrokers()
    const [topic, group] = [`topic-${randomUUID()}`, `group-${randomUUID()}`]
    const desk = await openTopicDesk(brokers)
    await desk.create(topic, 2)
    const consumer = new Consumer({ clientId: 'test', bootstrapBrokers: [...brokers], groupId: group })
    try {
      consumer.topics.track(topic)
      await consumer.joinGroup({})
      await until('a group of one', () => desk.areShared([group], 1))
      expect(await desk.areShared([group], 2)).toBe(false)
      expect(await desk.areShared([group, `nobody-${group}`], 1)).toBe(false)
    } finally {
      await consumer.close(true)
      await desk.remove(topic, group)
      await desk.close()
    }
  })
})
