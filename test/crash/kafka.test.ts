import { describe, it } from 'vitest'
import { describeWithKafka, kafkaBrokers, postgresDatabase } from '../setup/servers.ts'
import type { SceneChoice } from './children/channel.ts'
import { chosen, row, run, title, type Row } from './judging.ts'
import { crashPoints } from './points.ts'

const points = crashPoints('relay')
const { writers, relays, confirming, taking, fencing, received, handlers, settled, admitted, blocked } =
  points
const consumers = [...received, ...handlers, ...settled]
const choices: readonly (readonly [string, SceneChoice, readonly Row[], readonly Row[]])[] = [
  [
    'at-most-once',
    { guarantee: 'at-most-once' },
    chosen(
      [...relays, ...taking, ...consumers],
      [...[...taking, ...settled].map(({ point }) => point), 'consumer.after-handler'],
    ),
    [],
  ],
  [
    'at-least-once',
    { guarantee: 'at-least-once' },
    chosen(
      [...writers, ...relays, ...confirming, ...consumers],
      ['relay.after-send', 'consumer.after-commit', 'consumer.before-settle'],
    ),
    chosen(blocked, []),
  ],
  [
    'effectively-once',
    { guarantee: 'effectively-once' },
    chosen([...writers, ...relays, ...confirming, ...consumers], ['consumer.after-commit']),
    chosen(blocked, []),
  ],
  [
    'exactly-once by inbox',
    { guarantee: 'exactly-once', publishing: 'idempotent' },
    // What a broker makes no difference to is in the rows over the local transport.
    chosen(
      [...writers, ...relays, ...confirming, ...consumers, ...admitted],
      [...confirming, ...received, ...settled].map(({ point }) => point),
    ),
    chosen(blocked, []),
  ],
  [
    'exactly-once in fenced transactions',
    { guarantee: 'exactly-once', publishing: 'fenced' },
    chosen(
      [...writers, ...relays, ...fencing, ...consumers, ...admitted],
      fencing.map(({ point }) => point),
    ),
    [],
  ],
  [
    'exactly-once by checkpoint',
    { guarantee: 'exactly-once', publishing: 'fenced', form: 'checkpoint' },
    chosen([...relays, ...fencing, ...consumers], ['consumer.before-commit', 'consumer.after-commit']),
    [],
  ],
]

// The first of them finds a machine that compiles for all workers at once.
const timeout = 120_000

describeWithKafka('over Kafka', () => {
  describe.each(choices)('%s', (_name, choice, rows, failing) => {
    it.each(rows.map((each) => [title(each), each] as const))(
      'holds when %s',
      { timeout },
      async (_title, each) => {
        const { url } = await postgresDatabase()
        await run({ choice, producerUrl: url, brokers: await kafkaBrokers() }, each)
      },
    )

    it.each(failing.map((each) => [title(each), each] as const))(
      'holds when %s',
      { timeout },
      async (_title, each) => {
        const { url } = await postgresDatabase()
        await run({ choice, producerUrl: url, brokers: await kafkaBrokers(), failOnce: true }, each)
      },
    )
  })

  it('holds with producer and consumer on different servers', async () => {
    const { startPostgres } = await import('../../src/testing.ts')
    const { url } = await postgresDatabase()
    await using other = await startPostgres()
    const choice: SceneChoice = { guarantee: 'exactly-once', publishing: 'idempotent' }
    const options = { choice, producerUrl: url, consumerUrl: other.url, brokers: await kafkaBrokers() }
    await run(options, row('consumer', 'consumer.after-commit', 4))
  })
})
