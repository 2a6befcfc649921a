import { describe, expect, it } from 'vitest'
import type { FailpointName } from '../../src/kernel/failpoint.ts'
import {
  accounted,
  boundedDuplicates,
  effectLedger,
  ghosts,
  judge,
  notVacuous,
  perKeyOrder,
  totalQueue,
} from '../../src/testing.ts'
import { describeWithKafka, kafkaBrokers, postgresDatabase } from '../setup/servers.ts'
import { type Role, Scene, type SceneOptions } from './scene.ts'

interface Row {
  readonly point: FailpointName
  readonly role: Role
  /** At which hit. */
  readonly at: number
}

const row = (role: Role, point: FailpointName, at: number): Row => ({ role, point, at })

const writerRows: readonly Row[] = [
  row('writer', 'writer.after-begin', 9),
  row('writer', 'writer.after-business', 9),
  row('writer', 'writer.after-publish', 9),
  row('writer', 'writer.after-commit', 9),
]
const consumerRows: readonly Row[] = [
  row('consumer', 'consumer.after-receive', 1),
  row('consumer', 'consumer.after-admit', 6),
  row('consumer', 'consumer.after-handler', 9),
  row('consumer', 'consumer.before-commit', 5),
  row('consumer', 'consumer.after-commit', 5),
  row('consumer', 'consumer.before-settle', 1),
]
const relayPoints: readonly (readonly [FailpointName, number])[] = [
  ['relay.after-claim', 1],
  ['relay.after-read', 1],
  ['relay.before-send', 1],
  ['relay.after-send', 1],
  ['relay.after-remove', 1],
]

// Nothing is refused by itself: these points are passed only where a message is.
const blockPoints: readonly FailpointName[] = ['relay.before-block', 'relay.after-block']

/** Kills one process at one step, starts it again, lets everything drain, and judges what happened. */
async function run(options: SceneOptions, { role, point, at }: Row): Promise<void> {
  await using scene = await Scene.open(options)
  const failpoints = `${point}=kill@${at}`
  const start = (own: Role): void => {
    scene.start(own, own, own === role ? failpoints : undefined)
  }
  if (options.brokers !== null) start('relay')
  start('consumer')
  start('writer')
  await scene.revive(role)
  await scene.drained()

  const history = await scene.history()
  const results = [
    totalQueue(history),
    effectLedger(history),
    ghosts(history),
    perKeyOrder(history),
    accounted(history),
    notVacuous(history, { minCommitted: 20, minFaults: 1, isDrained: true, pending: 0 }),
    ...(options.brokers === null ? [] : [boundedDuplicates(history)]),
  ]
  const judgement = judge(results, 'exactly-once')
  expect(judgement.anomalies).toEqual([])
  expect(judgement.verdict).toBe('valid')
}

function title({ role, point }: Row): string {
  return `one effect for each committed order when the ${role} is killed at ${point}`
}

describe('over the local transport', () => {
  const inside = relayPoints.map(([point, at]) => row('consumer', point, at))
  const failing = blockPoints.map((point) => row('consumer', point, 1))
  it.each([...writerRows, ...consumerRows, ...inside].map((each) => [title(each), each] as const))(
    '%s',
    async (_title, each) => {
      const { url } = await postgresDatabase()
      await run({ producerUrl: url, brokers: null }, each)
    },
  )
  it.each(failing.map((each) => [title(each), each] as const))('%s', async (_title, each) => {
    const { url } = await postgresDatabase()
    await run({ producerUrl: url, brokers: null, failOnce: true }, each)
  })
})

describeWithKafka('over Kafka', () => {
  const relays = relayPoints.map(([point, at]) => row('relay', point, at))
  const settled = row('consumer', 'consumer.after-settle', 1)
  it.each([...writerRows, ...relays, ...consumerRows, settled].map((each) => [title(each), each] as const))(
    '%s',
    async (_title, each) => {
      const { url } = await postgresDatabase()
      await run({ producerUrl: url, brokers: await kafkaBrokers() }, each)
    },
  )

  const failing = blockPoints.map((point) => row('relay', point, 1))
  it.each(failing.map((each) => [title(each), each] as const))('%s', async (_title, each) => {
    const { url } = await postgresDatabase()
    await run({ producerUrl: url, brokers: await kafkaBrokers(), failOnce: true }, each)
  })

  it('one effect for each committed order with producer and consumer on different servers', async () => {
    const { startPostgres } = await import('../../src/testing.ts')
    const { url } = await postgresDatabase()
    await using other = await startPostgres()
    const options = { producerUrl: url, consumerUrl: other.url, brokers: await kafkaBrokers() }
    await run(options, row('consumer', 'consumer.after-commit', 4))
  })
})
