import { randomBytes } from 'node:crypto'
import { Client } from 'pg'
import { afterAll, beforeAll, describe, it } from 'vitest'
import { type KafkaServer, type PostgresServer, startKafka, startPostgres, until } from '../../src/testing.ts'
import { Scene } from '../crash/scene.ts'
import { describeWithKafka } from '../setup/servers.ts'
import { effects, expectCalm, expectValid, overKafka, resumed, underLoad } from './load.ts'

// Servers of these tests' own, to be killed and stopped. One after another they go on with what is left of them: each scene has a
// database, a topic and a group that no other has.
let postgres: PostgresServer

beforeAll(async () => {
  postgres = await startPostgres()
})

afterAll(() => postgres.stop())

async function database(): Promise<string> {
  const name = `scene_${randomBytes(4).toString('hex')}`
  const client = new Client({ connectionString: postgres.url })
  await client.connect()
  await client.query(`create database ${name}`)
  await client.end()
  const url = new URL(postgres.url)
  url.pathname = `/${name}`
  return url.href
}

async function killPostgres(scene: Scene): Promise<void> {
  await postgres.kill()
  scene.noteFault('kill postgres')
  await postgres.restart()
  await resumed(scene)
}

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

describe('over the local transport', { timeout: 90_000 }, () => {
  async function atWork(...consumers: readonly string[]): Promise<Scene> {
    const scene = await Scene.open({
      producerUrl: await database(),
      brokers: null,
      orders: 1500,
      isPatient: true,
    })
    for (const name of consumers) scene.start('consumer', name)
    scene.start('writer')
    await underLoad(scene)
    return scene
  }

  it('PostgreSQL killed with SIGKILL and restarted under load loses and doubles nothing', async () => {
    await using scene = await atWork('consumer')
    await killPostgres(scene)
    await expectValid(scene)
    await expectCalm(scene, ['consumer', 'writer'])
  })

  it('of two consumers one stopped past its lease and continued loses nothing and keeps order', async () => {
    await using scene = await atWork('consumer-1', 'consumer-2')
    await zombie(scene, 'consumer-1')
    await expectValid(scene)
    await expectCalm(scene, ['consumer-1', 'consumer-2'])
  })
})

describeWithKafka('over Kafka', () => {
  let kafka: KafkaServer

  beforeAll(async () => {
    kafka = await startKafka()
  })

  afterAll(() => kafka.stop())

  interface Fault {
    readonly what: string
    readonly relays?: readonly string[]
    readonly strike: (scene: Scene) => Promise<void>
    readonly calm: readonly string[]
  }

  it.each<Fault>([
    {
      what: 'a broker killed with SIGKILL and restarted under load loses and doubles nothing',
      strike: async (scene) => {
        await kafka.kill()
        scene.noteFault('kill kafka')
        await kafka.restart()
        await resumed(scene)
      },
      calm: ['relay', 'consumer', 'writer'],
    },
    {
      what: 'a broker stopped for 10 s under load loses and doubles nothing',
      strike: async (scene) => {
        await kafka.pause()
        scene.noteFault('pause kafka')
        // The length of the pause is the case itself.
        await new Promise((resolve) => setTimeout(resolve, 10_000))
        kafka.resume()
        await resumed(scene)
      },
      calm: ['relay', 'consumer', 'writer'],
    },
    {
      what: 'PostgreSQL killed with SIGKILL and restarted under load loses and doubles nothing',
      strike: killPostgres,
      calm: ['relay', 'consumer', 'writer'],
    },
    {
      what: 'of two relays one stopped past its lease and continued harms nothing',
      relays: ['relay', 'relay-2'],
      strike: (scene) => zombie(scene, 'relay'),
      calm: ['relay', 'relay-2', 'consumer'],
    },
  ])('$what', { timeout: 120_000 }, async ({ relays = ['relay'], strike, calm }) => {
    await using scene = await overKafka(await database(), kafka.brokers, relays)
    await strike(scene)
    await expectValid(scene)
    await expectCalm(scene, calm)
  })
})
