import { describe, it } from 'vitest'
import { postgresDatabase } from '../setup/servers.ts'
import type { SceneChoice } from './children/channel.ts'
import { chosen, run, title, type Row } from './judging.ts'
import { crashPoints } from './points.ts'

const { writers, relays, confirming, taking, ...points } = crashPoints('consumer')
const { admitted, blocked } = points
const handlers = [...points.received, ...points.handlers]
// Nobody answers a settlement here: the row's delete is the relay's.
const settled = points.settled.filter(({ point }) => point === 'consumer.before-settle')

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
