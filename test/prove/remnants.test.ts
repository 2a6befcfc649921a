import { Consumer } from '@platformatic/kafka'
import { randomBytes } from 'node:crypto'
import { expect, it } from 'vitest'
import { kafkaTransport } from '../../src/kafka.ts'
import { Grounds } from '../../src/prove/grounds.ts'
import { newRunId } from '../../src/prove/settings.ts'
import { until } from '../../src/testing.ts'
import { describeWithKafka, kafkaBrokers } from '../setup/servers.ts'

describeWithKafka('what proofs have left at a broker', () => {
  it('is told by run where no consumer is there any more, and of no other', async () => {
    const brokers = await kafkaBrokers()
    const [own, dead, alive] = [newRunId(), newRunId(), newRunId()]
    const mine = `waybill_prove_mine_${randomBytes(4).toString('hex')}`
    const topics = [`${own}.a`, `${dead}.a`, `${dead}-1.b`, `${dead}-positions`, `${alive}.a`, mine]
    const transport = kafkaTransport({ brokers })
    const grounds = new Grounds([{ transport, addresses: [], consumers: [] }])
    const desk = await transport.openDesk!('test')
    const consumer = new Consumer({ clientId: 'test', bootstrapBrokers: brokers, groupId: `${alive}.c` })
    try {
      for (const topic of topics) await desk.create(topic, 1)
      consumer.topics.track(`${alive}.a`)
      await consumer.joinGroup({})
      await until('a group of one', () => desk.areShared([`${alive}.c`], 1))
      // Other tests prove something at this broker meanwhile.
      const told = new Set(await grounds.remnants(own))
      expect([own, dead, alive, mine].map((run) => told.has(run))).toEqual([false, true, false, false])
    } finally {
      await consumer.close(true)
      await desk.remove(topics, [`${alive}.c`])
      await desk.close()
    }
    expect(await grounds.remnants(own)).not.toContain(dead)
  })
})
