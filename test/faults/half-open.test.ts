import { describe, expect, it } from 'vitest'
import { type Proxy, startProxy, until } from '../../src/testing.ts'
import { Scene } from '../crash/scene.ts'
import { describeWithKafka, kafkaBrokers, postgresDatabase } from '../setup/servers.ts'
import { expectCalm, expectValid, overKafka, resumed, underLoad } from './load.ts'

interface Route {
  readonly url: string
  readonly throughProxy: string
  readonly proxy: Proxy
}

async function route(): Promise<Route> {
  const { url } = await postgresDatabase()
  const proxy = await startProxy({ port: Number(new URL(url).port) })
  const throughProxy = new URL(url)
  throughProxy.port = String(proxy.port)
  return { url, throughProxy: throughProxy.href, proxy }
}

/**
 * Makes every open connection half-open, each in the middle of a request: the server is gone, and nothing ever comes back. New
 * connections work, so that only the relay's own time-outs stand between it and going on.
 */
async function silence(proxy: Proxy, scene: Scene): Promise<void> {
  const [count, accepted] = [proxy.connections, proxy.accepted]
  expect(count).toBeGreaterThanOrEqual(3)
  for (let i = 0; i < count; i++) await proxy.dropReplies({ request: () => true, instead: 'silence' })
  scene.noteFault(`${count} half-open connections`)
  // Over Kafka what had been sent by then still has its effects: only a connection made anew shows that the relay goes on.
  await until('a connection made anew', () => proxy.accepted > accepted)
  await resumed(scene)
}

describe('a relay whose connections to the database are half-open', { timeout: 90_000 }, () => {
  it('goes on after its time-outs over the local transport, with nothing lost or doubled', async () => {
    const { url, throughProxy, proxy } = await route()
    await using _proxy = proxy
    const options = { producerUrl: url, relayUrl: throughProxy, brokers: null, orders: 1500, isPatient: true }
    await using scene = await Scene.open(options)
    scene.start('consumer')
    scene.start('writer')
    await underLoad(scene)
    await silence(proxy, scene)
    await expectValid(scene)
    await expectCalm(scene, ['consumer'])
  })
})

describeWithKafka('a relay to Kafka whose connections to the database are half-open', () => {
  it('goes on after its time-outs, with nothing lost or doubled', { timeout: 90_000 }, async () => {
    const { url, throughProxy, proxy } = await route()
    await using _proxy = proxy
    await using scene = await overKafka(url, await kafkaBrokers(), ['relay'], throughProxy)
    await silence(proxy, scene)
    await expectValid(scene)
    await expectCalm(scene, ['relay', 'consumer'])
  })
})
