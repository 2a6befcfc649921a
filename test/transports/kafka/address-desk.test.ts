import { randomUUID } from 'node:crypto'
import { Admin, Consumer } from '@platformatic/kafka'
import { expect, it, onTestFinished } from 'vitest'
import { kafkaTransport } from '../../../src/kafka.ts'
import { silentLogger } from '../../../src/kernel/logger.ts'
import { type TransportDefinition, until } from '../../../src/testing.ts'
import { describeWithKafka, kafkaBrokers } from '../../setup/servers.ts'

const timeoutMs = 30_000

async function topics(brokers: readonly string[]): Promise<readonly string[]> {
  const admin = new Admin({ clientId: 'test', bootstrapBrokers: [...brokers] })
  try {
    return await admin.listTopics({ includeInternals: false })
  } finally {
    await admin.close()
  }
}

/** It notes in its topic of positions that nothing was sent yet. */
async function takeOver(definition: TransportDefinition): Promise<void> {
  const transport = definition.open({ logger: silentLogger, applicationName: 'test', source: '/test' })
  onTestFinished(() => transport.close())
  const publisher = await transport.openFencedPublisher!(randomUUID())
  await publisher.takeOver(0, timeoutMs)
}

describeWithKafka('a desk of addresses', () => {
  it('tells a group that is shared by all of its members from one that has too few', async () => {
    const brokers = await kafkaBrokers()
    const [topic, group] = [`topic-${randomUUID()}`, `group-${randomUUID()}`]
    const desk = await kafkaTransport({ brokers }).openDesk!('test')
    await desk.create(topic, 2)
    const consumer = new Consumer({ clientId: 'test', bootstrapBrokers: [...brokers], groupId: group })
    try {
      consumer.topics.track(topic)
      await consumer.joinGroup({})
      await until('a group of one', () => desk.areShared([group], 1))
      expect(await desk.areShared([group], 2)).toBe(false)
      expect(await desk.areShared([group, `nobody-${group}`], 1)).toBe(false)
      expect(await desk.areShared([], 1)).toBe(true)
    } finally {
      await consumer.close(true)
      await desk.remove([topic], [group])
      await desk.close()
    }
    expect(await topics(brokers)).not.toContain(topic)
  })

  it('makes what is there already, and removes what is not, without a word', async () => {
    const brokers = await kafkaBrokers()
    const topic = `topic-${randomUUID()}`
    const desk = await kafkaTransport({ brokers }).openDesk!('test')
    await desk.create(topic)
    await desk.create(topic)
    await desk.remove([`no-${topic}`, topic], [`nobody-${topic}`])
    expect(await topics(brokers)).not.toContain(topic)
    await desk.close()
  })

  it('removes the notes of a transport that was moved, and those of no other', async () => {
    const brokers = await kafkaBrokers()
    const [id, positionsTopic] = [`run-${randomUUID()}`, `positions-${randomUUID()}`]
    const theirs = kafkaTransport({ brokers, positionsTopic, groupProtocol: 'consumer', createTopics: true })
    const differences: string[] = []
    const moved = theirs.elsewhere!({
      id,
      sessionTimeoutMs: 6000,
      requestTimeoutMs: 2000,
      onDifference: (sentence) => void differences.push(sentence),
    })
    expect(differences).toEqual([expect.stringContaining('classic protocol')])
    expect(moved.capabilities.transforms).toBe(true)
    await Promise.all([takeOver(theirs), takeOver(moved)])
    const before = await topics(brokers)
    expect(before).toEqual(expect.arrayContaining([positionsTopic, `${id}-positions`]))
    for (const definition of [theirs, moved]) {
      const desk = await definition.openDesk!('test')
      await desk.removeNotes()
      await desk.removeNotes()
      await desk.close()
    }
    const after = await topics(brokers)
    expect(after).toContain(positionsTopic)
    expect(after.filter((name) => name.startsWith(id))).toEqual([])
  })
})
