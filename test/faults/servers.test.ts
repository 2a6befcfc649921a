import { describe, it } from 'vitest'
import { startKafka, startPostgres, until } from '../../src/testing.ts'
import { Scene } from '../crash/scene.ts'
import { describeWithKafka } from '../setup/servers.ts'
import { effects, expectCalm, expectValid, overKafka, resumed, underLoad } from './load.ts'

describe('PostgreSQL killed with SIGKILL and restarted under load', { timeout: 90_000 }, () => {
  it('resumes by itself over the local transport, with nothing lost or doubled', async () => {
    await using server = await startPostgres()
    await using scene = await Scene.open({
      producerUrl: server.url,
      brokers: null,
      orders: 1500,
      isPatient: true,
    })
    scene.start('consumer')
    scene.start('writer')
    await underLoad(scene)
    await server.kill()
    scene.noteFault('kill postgres')
    await server.restart()
    await resumed(scene)
    await expectValid(scene)
    await expectCalm(scene, ['consumer', 'writer'])
  })
})

describe('two consumers of the same database', { timeout: 90_000 }, () => {
  it('lose nothing and keep order when one is stopped past its lease and goes on later', async () => {
    await using server = await startPostgres()
    await using scene = await Scene.open({
      producerUrl: server.url,
      brokers: null,
      orders: 1500,
      isPatient: true,
    })
    scene.start('consumer', 'consumer-1')
    scene.start('consumer', 'consumer-2')
    scene.start('writer')
    await underLoad(scene)
    await zombie(scene, 'consumer-1')
    await expectValid(scene)
    await expectCalm(scene, ['consumer-1', 'consumer-2'])
  })
})

/** Stops a process until every partition it held has another owner, and lets it go on. */
async function zombie(scene: Scene, name: string): Promise<void> {
  const { pid } = scene.child(name)
  const owned = `select count(*)::int as n from waybill.partitions p join waybill.relays r on r.id = p.owner where r.pid = ${pid}`
  scene.child(name).pause()
  scene.noteFault(`pause ${name}`)
  await until(
    'the take-over',
    async () => (await scene.sql(scene.settings.producerUrl, owned))[0]!['n'] === 0,
  )
  const before = await effects(scene)
  await until('effects meanwhile', async () => (await effects(scene)) > before)
  scene.child(name).resume()
}

describeWithKafka('over Kafka', () => {
  it(
    'a broker killed with SIGKILL and restarted under load loses and doubles nothing',
    { timeout: 120_000 },
    async () => {
      await using server = await startPostgres()
      await using kafka = await startKafka()
      await using scene = await overKafka(server.url, kafka.brokers)
      await kafka.kill()
      scene.noteFault('kill kafka')
      await kafka.restart()
      await resumed(scene)
      await expectValid(scene)
      await expectCalm(scene, ['relay', 'consumer', 'writer'])
    },
  )

  it('a broker stopped for 10 s under load loses and doubles nothing', { timeout: 120_000 }, async () => {
    await using server = await startPostgres()
    await using kafka = await startKafka()
    await using scene = await overKafka(server.url, kafka.brokers)
    await kafka.pause()
    scene.noteFault('pause kafka')
    // The length of the pause is the case itself.
    await new Promise((resolve) => setTimeout(resolve, 10_000))
    kafka.resume()
    await resumed(scene)
    await expectValid(scene)
    await expectCalm(scene, ['relay', 'consumer', 'writer'])
  })

  it(
    'PostgreSQL killed with SIGKILL and restarted under load loses and doubles nothing',
    { timeout: 120_000 },
    async () => {
      await using server = await startPostgres()
      await using kafka = await startKafka()
      await using scene = await overKafka(server.url, kafka.brokers)
      await server.kill()
      scene.noteFault('kill postgres')
      await server.restart()
      await resumed(scene)
      await expectValid(scene)
      await expectCalm(scene, ['relay', 'consumer', 'writer'])
    },
  )

  it(
    'of two relays one stopped past its lease and continued harms nothing',
    { timeout: 120_000 },
    async () => {
      await using server = await startPostgres()
      await using kafka = await startKafka()
      await using scene = await overKafka(server.url, kafka.brokers, ['relay', 'relay-2'])
      await zombie(scene, 'relay')
      await expectValid(scene)
      await expectCalm(scene, ['relay', 'relay-2', 'consumer'])
    },
  )
})
