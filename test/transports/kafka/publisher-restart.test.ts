import { afterAll, beforeAll, expect, it, onTestFinished } from 'vitest'
import { startKafka, type KafkaServer } from '../../../src/testing/kafka-server.ts'
import { until } from '../../../src/testing/until.ts'
import { describeWithKafka } from '../../setup/servers.ts'
import { warmPublisher } from './broker-desk.ts'
import { messagesTo, newTopic, openTransport, receiveUntil, subscribe } from './scene.ts'

describeWithKafka('a Kafka publisher whose broker is killed', () => {
  let kafka: KafkaServer

  beforeAll(async () => {
    kafka = await startKafka()
  })

  afterAll(async () => {
    await kafka.stop()
  })

  it('loses nothing it confirmed under load, and resumes by itself', async () => {
    const topic = newTopic()
    const publisher = await warmPublisher(kafka.brokers, topic)
    // Where the test fails, its load has to end too: a closed publisher answers at once, and would be asked for ever.
    const stop = new AbortController()
    onTestFinished(() => stop.abort())
    const confirmed: string[] = []
    let isRestarted = false
    let afterRestart = 0
    const load = async (lane: number): Promise<void> => {
      while (afterRestart < 200 && !stop.signal.aborted) {
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
    await kafka.kill()
    await kafka.restart()
    isRestarted = true
    await Promise.all(loads)

    const wanted = new Set(confirmed)
    await receiveUntil(await subscribe(openTransport(kafka.brokers), [topic]), (all) => {
      for (const { envelope } of all.slice(-500)) wanted.delete(envelope!.id)
      return wanted.size === 0
    })
    expect(confirmed.length).toBeGreaterThan(500)
  })
})
