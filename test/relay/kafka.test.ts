import { expect, it } from 'vitest'
import { until } from '../../src/testing.ts'
import { describeWithKafka, kafkaBrokers, postgresDatabase } from '../setup/servers.ts'
import { KafkaRelayScene } from './kafka-scene.ts'

async function openScene(): Promise<KafkaRelayScene> {
  return await KafkaRelayScene.open((await postgresDatabase()).url, await kafkaBrokers())
}

describeWithKafka('the topic that relays write to', () => {
  it('has each message once and in the order of its key where they are told to stop under load (R5)', async () => {
    await using scene = await openScene()
    scene.write()
    let running = await scene.relay()
    await scene.grows()
    for (let i = 0; i < 2; i++) {
      const successor = await scene.relay()
      await scene.grows()
      expect(await running.terminate()).toEqual({ code: 0, signal: null })
      expect(await scene.held(running)).toBe(0)
      running = successor
      await scene.grows()
    }
    const { published, found, wrong } = await scene.drained()
    expect(wrong).toEqual([])
    expect(found).toBe(published)
    expect(published).toBeGreaterThan(250)
  })

  it('has the order of each key while the outbox gets more partitions, and fewer again', async () => {
    await using scene = await openScene()
    scene.write()
    const relays = [await scene.relay(), await scene.relay()]
    for (const count of [24, 5]) {
      await scene.grows()
      expect(await scene.waybill.partitions.change(count)).toMatchObject([{ partitions: count }])
      await scene.grows()
    }
    await until('fair shares of the last', async () => {
      const held = await Promise.all(relays.map((relay) => scene.held(relay)))
      return held.toSorted().join() === '2,3'
    })
    const { published, found, wrong } = await scene.drained()
    expect(wrong).toEqual([])
    expect(found).toBe(published)
    expect(published).toBeGreaterThan(200)
  })
})
