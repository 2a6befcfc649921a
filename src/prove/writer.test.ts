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
    onRefused: () => {},
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

/** All that a writer does whose chance is always this one, until it has written: at the default rate its first visit alone. */
async function visit(drawn: number, refusals = 0, perSecond = 0.01): Promise<readonly string[]> {
  const steps: string[] = []
  const closing = new AbortController()
  const waybill = {
    transaction: async (work: (tx: object) => Promise<unknown>) => {
      const before = steps.length
      const result = await work({ query: async (text: string) => steps.push(text) })
      // A look at what is behind leaves nothing.
      if (steps.length > before) steps.push('commit')
      return result
    },
    [Symbol.asyncDispose]: async () => {},
  }
  let count = 0
  const writer = new Writer({
    waybill: waybill as unknown as Waybill<Client>,
    draw: async (wanted) => {
      if (refusals-- > 0) throw new Error('no')
      return Array.from({ length: (count = wanted) }, (_, i) => ({
        id: `m${i}`,
        keys: ['k'],
        place: async () => ({ seq: steps.push(`place m${i}`) }),
      }))
    },
    onRefused: (error) => void steps.push(`refused: ${(error as Error).message}`),
    isFarBehind: async () => false,
    chance: () => drawn,
    history: {
      note: ({ type, id }) => {
        steps.push(`${type} ${id}`)
        if (type !== 'invoke' && (count -= 1) === 0) closing.abort()
      },
      close() {},
      [Symbol.dispose]() {},
    },
  })
  await writer.run(perSecond, closing.signal)
  return steps
}

const ids = Array.from({ length: 12 }, (_, i) => `m${i}`)

test.each([
  ['one message', 0.5, ['invoke m0', 'place m0', 'commit', 'ok m0']],
  ['one in a transaction that stays open for a while', 0.16, ['invoke m0', 'place m0', 'commit', 'ok m0']],
  ['an error after everything was written', 0.05, ['invoke m0', 'place m0', 'fail m0']],
  [
    'one that is undone to a savepoint, and another that is kept',
    0.12,
    [
      ...['invoke m0', 'invoke m1', 'savepoint whim', 'place m0', 'rollback to savepoint whim', 'place m1'],
      ...['commit', 'fail m0', 'ok m1'],
    ],
  ],
  [
    'many at once',
    0.2,
    [
      ...ids.map((id) => `invoke ${id}`),
      ...ids.map((id) => `place ${id}`),
      'commit',
      ...ids.map((id) => `ok ${id}`),
    ],
  ],
])('the writer places %s, and notes what became of it', async (_what, drawn, steps) => {
  expect(await visit(drawn)).toEqual(steps)
})

test('the writer goes on after a draw that was refused, and tells of it', async () => {
  expect(await visit(0.5, 1, 20)).toEqual(['refused: no', 'invoke m0', 'place m0', 'commit', 'ok m0'])
})
