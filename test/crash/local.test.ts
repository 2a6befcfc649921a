import { describe, it } from 'vitest'
import { postgresDatabase } from '../setup/servers.ts'
import type { SceneChoice } from './children/channel.ts'
import { chosen, row, run, title, type Row } from './judging.ts'

const writers: readonly Row[] = [
  row('writer', 'writer.after-begin', 9),
  row('writer', 'writer.after-business', 9),
  row('writer', 'writer.after-publish', 9),
  row('writer', 'writer.after-commit', 9),
]
// Over the local transport the relay runs in the consumer's process.
const relays: readonly Row[] = [
  row('consumer', 'relay.after-claim', 1),
  row('consumer', 'relay.after-read', 1),
]
const confirming: readonly Row[] = [
  row('consumer', 'relay.before-send', 1),
  row('consumer', 'relay.after-send', 1),
  row('consumer', 'relay.after-remove', 1),
]
const taking: readonly Row[] = [
  row('consumer', 'relay.before-take', 1),
  row('consumer', 'relay.after-take', 1),
  row('consumer', 'relay.after-dispatch', 1),
]
const handlers: readonly Row[] = [
  row('consumer', 'consumer.after-receive', 1),
  row('consumer', 'consumer.after-handler', 9),
  row('consumer', 'consumer.before-commit', 5),
  row('consumer', 'consumer.after-commit', 5),
]
const settled: readonly Row[] = [row('consumer', 'consumer.before-settle', 1)]
const admitted: readonly Row[] = [row('consumer', 'consumer.after-admit', 6)]
// Nothing is refused by itself: these points are passed only where a message is.
const blocked: readonly Row[] = [
  row('consumer', 'relay.before-block', 1),
  row('consumer', 'relay.after-block', 1),
]

const choices: readonly (readonly [SceneChoice, readonly Row[], readonly Row[]])[] = [
  [
    { guarantee: 'at-most-once' },
    chosen(
      [...writers, ...relays, ...taking, ...handlers],
      [...taking.map(({ point }) => point), 'consumer.after-receive', 'consumer.after-handler'],
    ),
    [],
  ],
  [
    { guarantee: 'at-least-once' },
    chosen(
      [...writers, ...relays, ...confirming, ...handlers, ...settled],
      ['relay.after-send', 'consumer.after-commit'],
    ),
    chosen(blocked, []),
  ],
  [
    { guarantee: 'effectively-once' },
    chosen([...relays, ...confirming, ...handlers, ...settled], ['consumer.after-commit']),
    chosen(blocked, []),
  ],
  [
    { guarantee: 'exactly-once' },
    [...writers, ...relays, ...confirming, ...handlers, ...admitted, ...settled],
    blocked,
  ],
]

describe.each(choices)('over the local transport: $guarantee', (choice, rows, failing) => {
  it.each(rows.map((each) => [title(each), each] as const))('holds when %s', async (_title, each) => {
    const { url } = await postgresDatabase()
    await run({ choice, producerUrl: url, brokers: null }, each)
  })

  it.each(failing.map((each) => [title(each), each] as const))('holds when %s', async (_title, each) => {
    const { url } = await postgresDatabase()
    await run({ choice, producerUrl: url, brokers: null, failOnce: true }, each)
  })
})
