import { expect, test } from 'vitest'
import type { Client } from '../demo/database.ts'
import type { Waybill } from '../index.ts'
import { type HistoryEvent, until } from '../testing.ts'
import { isFarBehind, ownDrafts } from './own-drafts.ts'
import { tracksOf } from './tracks.ts'
import { Writer } from './writer.ts'

test('nothing is placed while too much is behind, and again when consumers have caught up', async () => {
  let behind = 1000
  let looks = 0
  const tx = {
    query: async (text: string) => {
      const isLook = text.includes('count(*)')
      if (isLook) looks += 1
      return { rows: [isLook ? { n: behind } : { seq: 1 }] }
    },
  }
  const waybill = {
    transaction: async (work: (tx: object) => Promise<unknown>) => await work(tx),
    publish: async () => {},
    [Symbol.asyncDispose]: async () => {},
  }
  const events: Pick<HistoryEvent, 'type'>[] = []
  const closing = new AbortController()
  // A single message each time.
  const chance = (): number => 0.5
  const draw = ownDrafts({
    waybill: waybill as unknown as Waybill<Client>,
    tracks: tracksOf({ id: 'run', guarantees: ['exactly-once'], brokers: null }),
    schema: 'load',
    canary: 'canary',
    chance,
  })
  const writer = new Writer({
    waybill: waybill as unknown as Waybill<Client>,
    draw,
    isFarBehind: (given) => isFarBehind(given, 'load'),
    chance,
    history: { note: (event) => void events.push(event), close() {}, [Symbol.dispose]() {} },
  })
  const running = writer.run(1000, closing.signal)
  await until('several looks', () => looks >= 3)
  expect(events).toEqual([])
  behind = 0
  await until('a message', () => events.some(({ type }) => type === 'ok'))
  closing.abort()
  await running
})
