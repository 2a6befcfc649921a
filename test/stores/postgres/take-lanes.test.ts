import { randomUUID } from 'node:crypto'
import { beforeAll, describe, expect, test } from 'vitest'
import { idsOf, openDesk, TestReader } from './support.ts'
import { lost, TakeDatabase, taken } from './take-support.ts'

let database: TakeDatabase

beforeAll(async () => {
  database = await TakeDatabase.open()
})

describe("taking on a consumer's lane", () => {
  async function noted(consumer: string): Promise<string[]> {
    const { rows } = await database.observer.query(
      'select message_id as id from waybill.inbox where consumer = $1',
      [consumer],
    )
    return idsOf(rows)
  }

  test('by the only consumer deletes the rows, and no inbox row is written', async () => {
    const { street, desk, rows } = await database.scene(['a', 'b'], 1, ['sole-taker'])
    const batch = randomUUID()
    expect(
      await desk.outbox.take(
        batch,
        rows.map((row) => taken(row, desk)),
      ),
    ).toEqual(['taken', 'taken'])
    expect(await database.waiting(street.channel)).toEqual([])
    expect(await noted('sole-taker')).toEqual([])
    expect(await database.lines(street.channel)).toMatchObject([{ consumer: 'sole-taker', ids: idsOf(rows) }])
    await desk.outbox.endTaken(batch, [lost(rows[0]!, { cause: 'handler-failed' })])
    expect(await database.losses(street.channel)).toMatchObject([
      { consumer: 'sole-taker', cause: 'handler-failed', count: 1 },
    ])
  })

  test('by one of several leaves the rows to the others, and the last one deletes them', async () => {
    const { street, desk: one, rows } = await database.scene(['a', 'b'], 1, ['taker-1', 'taker-2'])
    const two = await openDesk(database.store, street, 'taker-2')
    const failure = { key: 'a', attempts: 1, retryInMs: 3_600_000, errorCode: 'E', error: 'e' }
    await one.outbox.block([{ ...taken(rows[0]!, one), ...failure }])
    expect(
      await one.outbox.take(
        randomUUID(),
        rows.map((row) => taken(row, one)),
      ),
    ).toEqual(['taken', 'taken'])
    expect(await database.waiting(street.channel)).toEqual(idsOf(rows))
    expect((await noted('taker-1')).toSorted()).toEqual(idsOf(rows).toSorted())
    const { rows: blocked } = await database.observer.query(
      'select 1 from waybill.blocked where channel = $1',
      [street.channel],
    )
    expect(blocked).toEqual([])
    expect(await new TestReader(one.outbox, street).read()).toEqual([])
    expect(await one.outbox.take(randomUUID(), [taken(rows[0]!, one)])).toEqual(['gone'])
    expect(await two.outbox.take(randomUUID(), [taken(rows[0]!, two)])).toEqual(['taken'])
    expect(await database.waiting(street.channel)).toEqual([rows[1]!.id])
    expect((await database.lines(street.channel)).map((line) => line['consumer'])).toEqual([
      'taker-1',
      'taker-2',
    ])
  })

  test('by all of them at once gives each consumer each row once, and leaves none behind', async () => {
    const consumers = ['racer-1', 'racer-2', 'racer-3']
    const keys = Array.from({ length: 60 }, (_, i) => `k${i}`)
    const { street, desk, rows } = await database.scene(keys, 2, consumers)
    const desks = [
      desk,
      await openDesk(database.store, street, 'racer-2'),
      await openDesk(database.store, street, 'racer-3'),
    ]
    const orders = [rows, rows.toReversed(), [...rows.slice(30), ...rows.slice(0, 30)]]
    const outcomes = await Promise.all(
      desks.map(async (each, i) => {
        const found: string[] = []
        for (let at = 0; at < rows.length; at += 10) {
          const some = orders[i]!.slice(at, at + 10).map((row) => taken(row, each))
          found.push(...(await each.outbox.take(randomUUID(), some)))
        }
        return found
      }),
    )
    expect(outcomes).toEqual(consumers.map(() => rows.map(() => 'taken')))
    expect(await database.waiting(street.channel)).toEqual([])
  })

  test('by a zombie notes nothing, and what it had taken before is counted for its consumer', async () => {
    const { street, desk, rows } = await database.scene(['a', 'b'], 1, ['zombie', 'other'])
    await desk.outbox.take(randomUUID(), [taken(rows[0]!, desk)])
    await database.endLeases(street)
    const successor = await openDesk(database.store, street)
    expect(await desk.outbox.take(randomUUID(), [taken(rows[1]!, desk)])).toEqual(['fenced'])
    expect(await noted('zombie')).toEqual([rows[0]!.id])
    expect(await database.losses(street.channel)).toMatchObject([
      { consumer: 'zombie', cause: 'process-ended', count: 1 },
    ])
    expect(idsOf(await successor.reader.read())).toEqual([rows[1]!.id])
  })

  test('is counted as lost where the consumer is unsubscribed with rows in hand', async () => {
    const { street, desk, rows } = await database.scene(['a', 'b'], 1, ['going'])
    const batch = randomUUID()
    await desk.outbox.take(
      batch,
      rows.map((row) => taken(row, desk)),
    )
    // Its process hangs: it is taken for gone when its lease has ended.
    await database.observer.query(
      `update waybill.relays set lease_until = now() - interval '1 second' where consumer = 'going'`,
    )
    await database.store.schema.unsubscribe('going')
    await desk.outbox.endTaken(
      batch,
      rows.map((row) => lost(row)),
    )
    expect(await database.losses(street.channel)).toMatchObject([
      { consumer: 'going', cause: 'process-ended', count: 2 },
    ])
    expect(await database.lines(street.channel)).toEqual([])
  })
})
