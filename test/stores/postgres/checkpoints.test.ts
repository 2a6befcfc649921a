import type pg from 'pg'
import { beforeAll, describe, expect, test } from 'vitest'
import type { CheckpointMove } from '../../../src/ports/checkpoints.ts'
import type { Store } from '../../../src/ports/store.ts'
import { pgExecutor } from '../../../src/transactions/pg.ts'
import { postgresDatabase } from '../../setup/servers.ts'
import { connect, openStore, untilBlocked } from './support.ts'

let url: string
let store: Store
let observer: pg.Client

beforeAll(async () => {
  ;({ url } = await postgresDatabase())
  store = openStore({ connectionString: url })
  await store.schema.migrate()
  observer = await connect(url)
})

function move(stream: string, from: bigint | null, to: bigint, lineage = 'log'): CheckpointMove {
  return { stream, lineage, from, to }
}

async function begin(): Promise<pg.Client> {
  const client = await connect(url)
  await client.query('begin')
  return client
}

function advance(client: pg.Client, consumer: string, ...moves: CheckpointMove[]): Promise<boolean> {
  return store.checkpoints.advance(pgExecutor(client), consumer, moves)
}

/** In a transaction of its own. */
async function set(consumer: string, ...moves: CheckpointMove[]): Promise<void> {
  const client = await begin()
  expect(await advance(client, consumer, ...moves)).toBe(true)
  await client.query('commit')
}

async function positions(consumer: string, ...streams: string[]): Promise<Record<string, bigint>> {
  const asked = streams.map((stream) => ({ stream, lineage: 'log' }))
  return Object.fromEntries(await store.checkpoints.find(consumer, asked))
}

describe('finding checkpoints', () => {
  test("gives this consumer's positions of the streams asked for, and leaves out what has none", async () => {
    await set('finder', move('t/0', null, 7n), move('t/1', null, 9_007_199_254_740_993n))
    await set('other', move('t/2', null, 1n))
    expect(await positions('finder', 't/1', 't/2', 't/0')).toEqual({
      't/0': 7n,
      't/1': 9_007_199_254_740_993n,
    })
    expect(await positions('finder', 't/1')).toEqual({ 't/1': 9_007_199_254_740_993n })
    expect(await positions('finder')).toEqual({})
  })

  test('refuses a checkpoint of another log, and says of whom, where, and what to do', async () => {
    await set('moved', move('t/0', null, 7n), move('t/1', null, 7n, 'older log'))
    expect(await positions('moved', 't/0')).toEqual({ 't/0': 7n })
    const finding = positions('moved', 't/0', 't/1')
    await expect(finding).rejects.toMatchObject({ code: 'WB_CHECKPOINT_MISMATCH', retryable: 'no' })
    for (const part of [
      /"moved"/u,
      /"t\/1"/u,
      /"older log"/u,
      /"log"/u,
      /delete the row .* "waybill".checkpoints/u,
    ])
      await expect(finding).rejects.toThrow(part)
    await observer.query(`delete from waybill.checkpoints where consumer = 'moved' and stream = 't/1'`)
    expect(await positions('moved', 't/0', 't/1')).toEqual({ 't/0': 7n })
  })
})

describe('advancing', () => {
  test('says false where one of the moves does not find what it was found at', async () => {
    await set('strict', move('t/0', null, 5n), move('t/1', null, 5n))
    const refused: CheckpointMove[] = [
      move('t/1', 4n, 9n),
      move('t/1', 6n, 9n),
      move('t/1', null, 9n),
      move('t/1', 5n, 9n, 'another log'),
      move('t/2', 0n, 9n),
    ]
    for (const each of refused) {
      const client = await begin()
      expect(await advance(client, 'strict', move('t/0', 5n, 6n), each), String(each.from)).toBe(false)
      await client.query('rollback')
    }
    expect(await positions('strict', 't/0', 't/1', 't/2')).toEqual({ 't/0': 5n, 't/1': 5n })
  })

  test.for([
    { what: 'a move', from: 5n },
    { what: 'the first move', from: null },
  ])('by two at once: one waits, and $what of the other decides', async ({ what, from }) => {
    const consumer = `two, ${what}`
    if (from !== null) await set(consumer, move('t/0', null, from))
    for (const how of ['rollback', 'commit']) {
      const [first, second] = [await begin(), await begin()]
      expect(await advance(first, consumer, move('t/0', from, 6n))).toBe(true)
      const waiting = advance(second, consumer, move('t/0', from, 7n))
      await untilBlocked(observer, second)
      await first.query(how)
      expect(await waiting).toBe(how === 'rollback')
      await second.query('rollback')
    }
    expect(await positions(consumer, 't/0')).toEqual({ 't/0': 6n })
  })

  test('by a zombie that comes later, with an older position, has no effect', async () => {
    await set('zombie', move('t/0', null, 5n))
    // Its transaction has begun, and has read, before the successor commits.
    const zombie = await begin()
    await zombie.query('select * from waybill.checkpoints')
    await set('zombie', move('t/0', 5n, 6n))
    expect(await advance(zombie, 'zombie', move('t/0', 5n, 7n))).toBe(false)
    await zombie.query('rollback')
    expect(await positions('zombie', 't/0')).toEqual({ 't/0': 6n })
  })

  test('of many streams in opposite orders at once never deadlocks: one moves all, the others none', async () => {
    const names = Array.from({ length: 40 }, (_, i) => `t/${i}`)
    await set('many', ...names.slice(0, 20).map((stream) => move(stream, null, 1n)))
    for (let round = 1n; round <= 5n; round++) {
      const moves = names.map((stream, i) => move(stream, i >= 20 && round === 1n ? null : round, round + 1n))
      const outcomes = await Promise.all(
        [moves, moves.toReversed(), [...moves.slice(15), ...moves.slice(0, 15)]].map(async (order) => {
          const client = await begin()
          const isMoved = await advance(client, 'many', ...order)
          await client.query(isMoved ? 'commit' : 'rollback')
          return isMoved
        }),
      )
      expect(outcomes.filter(Boolean)).toHaveLength(1)
    }
    expect(await positions('many', ...names)).toEqual(Object.fromEntries(names.map((name) => [name, 6n])))
  })
})
