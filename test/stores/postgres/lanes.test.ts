import { beforeAll, describe, expect, test } from 'vitest'
import type pg from 'pg'
import type { OutboxRow } from '../../../src/ports/outbox.ts'
import type { Store } from '../../../src/ports/store.ts'
import { pgExecutor } from '../../../src/transactions/pg.ts'
import { until } from '../../../src/testing/until.ts'
import { postgresDatabase } from '../../setup/servers.ts'
import {
  connect,
  type Desk,
  idsOf,
  message,
  openDesk,
  openStore,
  openStreet,
  publish,
  TestReader,
} from './support.ts'

let url: string
let store: Store
let observer: pg.Client

beforeAll(async () => {
  ;({ url } = await postgresDatabase())
  store = openStore({ connectionString: url })
  await store.schema.migrate()
  observer = await connect(url)
})

async function there(channel: string): Promise<string[]> {
  const { rows } = await observer.query('select id from waybill.outbox where channel = $1 order by seq', [
    channel,
  ])
  return idsOf(rows)
}

async function handle(consumer: string, rows: readonly OutboxRow[]): Promise<ReadonlySet<string>> {
  const client = await connect(url)
  await client.query('begin')
  const taken = await store.inbox.take(pgExecutor(client), consumer, rows)
  await client.query('commit')
  return taken
}

describe('lanes of consumers', () => {
  test('read the same rows, each without what its consumer has handled', async () => {
    const street = await openStreet(url, store, { consumers: ['one', 'two'], partitions: 1 })
    const [one, two] = [await openDesk(store, street, 'one'), await openDesk(store, street, 'two')]
    const [a, b] = await publish(store, observer, street.channel, message('a'), message('b'))
    const rows = await one.reader.read()
    expect(idsOf(rows)).toEqual([a, b])
    await handle('one', rows.slice(0, 1))
    expect(idsOf(await new TestReader(one.outbox, street).read())).toEqual([b])
    expect(idsOf(await two.reader.read())).toEqual([a, b])
  })

  test('have leases, lines and rewinds of their own', async () => {
    const street = await openStreet(url, store, { consumers: ['one', 'two'], partitions: 1 })
    const [one, two] = [await openDesk(store, street, 'one'), await openDesk(store, street, 'two')]
    await publish(store, observer, street.channel, message('a'))
    const [row] = await one.reader.read()
    const failure = { attempts: 1, retryInMs: 3_600_000, errorCode: 'E', error: 'e' }
    expect(await one.outbox.block([{ ...row!, epoch: one.epoch(street.first), ...failure }])).toEqual([
      'written',
    ])
    expect(await new TestReader(one.outbox, street).read()).toEqual([])
    expect(await new TestReader(two.outbox, street).read()).toHaveLength(1)
    await one.outbox.remove([row!])
    expect((await one.reader.look()).rewinds.get(street.first)).toBe(1n)
    expect((await two.reader.look()).rewinds.get(street.first)).toBe(0n)
  })

  test('delete a row exactly when the last subscriber has it, whatever order and company they come in', async () => {
    const consumers = ['one', 'two', 'three']
    const street = await openStreet(url, store, { consumers, partitions: 2 })
    const desks = await Promise.all(consumers.map((consumer) => openDesk(store, street, consumer)))
    const ids = await publish(
      store,
      observer,
      street.channel,
      ...Array.from({ length: 120 }, (_, i) => message(`k${i}`)),
    )
    const rows = await desks[0]!.reader.read()
    expect(rows).toHaveLength(120)
    // Two of three have all of it, removing in opposite order at once: nothing may go yet.
    await Promise.all([removeInSteps(desks[0]!, rows), removeInSteps(desks[1]!, rows.toReversed())])
    expect((await there(street.channel)).toSorted()).toEqual(ids.toSorted())
    const { removed } = await desks[2]!.outbox.remove(rows.slice(0, 50))
    expect(removed).toBe(50)
    expect(await there(street.channel)).toHaveLength(70)
    expect(await desks[0]!.reader.read()).toEqual([])
  })

  test('leave nothing behind when all of them remove the same rows at the same moment', async () => {
    const consumers = ['one', 'two', 'three']
    const street = await openStreet(url, store, { consumers, partitions: 2 })
    const desks = await Promise.all(consumers.map((consumer) => openDesk(store, street, consumer)))
    await publish(store, observer, street.channel, ...Array.from({ length: 200 }, (_, i) => message(`k${i}`)))
    const rows = await desks[0]!.reader.read({ upperLimit: 500 })
    const removed = await Promise.all([
      removeInSteps(desks[0]!, rows),
      removeInSteps(desks[1]!, rows.toReversed()),
      removeInSteps(desks[2]!, [...rows.slice(77), ...rows.slice(0, 77)]),
    ])
    expect(await there(street.channel)).toEqual([])
    expect(removed.reduce((sum, each) => sum + each)).toBe(200)
  })

  test('never deadlock over rows that two of them delete at once in opposite order', async () => {
    const street = await openStreet(url, store, { consumers: ['one', 'two'], partitions: 1 })
    const [one, two] = [await openDesk(store, street, 'one'), await openDesk(store, street, 'two')]
    await publish(store, observer, street.channel, message('a'), message('b'), message('c'))
    const rows = await one.reader.read()
    await Promise.all([handle('one', rows), handle('two', rows)])
    // Held in the middle: each that goes its own way has taken its end when it comes here, and then wants the other's.
    const middle = await connect(url)
    await middle.query('begin')
    await middle.query('select from waybill.outbox where id = $1 for update', [rows[1]!.id])
    const removed = Promise.all([one.outbox.remove(rows), two.outbox.remove(rows.toReversed())])
    await until('both wait', async () => (await locked()) === 2)
    await middle.query('commit')
    expect((await removed).reduce((sum, each) => sum + each.removed, 0)).toBe(3)
  })

  test('write one dead letter for their consumer, and the row stays for the others', async () => {
    const street = await openStreet(url, store, { consumers: ['one', 'two'], partitions: 1 })
    const [one, two] = [await openDesk(store, street, 'one'), await openDesk(store, street, 'two')]
    const [id] = await publish(store, observer, street.channel, message('a'))
    const [row] = await one.reader.read()
    const letter = {
      ...row!,
      epoch: one.epoch(street.first),
      attempts: 3,
      reason: 'rejected' as const,
      errorCode: 'E',
      error: 'e',
    }
    expect(await one.outbox.bury([letter])).toEqual(['written'])
    expect(await one.outbox.bury([letter])).toEqual(['gone'])
    const { rows } = await observer.query('select consumer from waybill.dead where id = $1', [id])
    expect(rows).toEqual([{ consumer: 'one' }])
    expect(await new TestReader(one.outbox, street).read()).toEqual([])
    expect(idsOf(await two.reader.read())).toEqual([id])
    await two.outbox.remove([row!])
    expect(await there(street.channel)).toEqual([])
  })

  test('write no dead letter for a message their consumer has handled meanwhile', async () => {
    const street = await openStreet(url, store, { consumers: ['one', 'two'], partitions: 1 })
    const one = await openDesk(store, street, 'one')
    const [id] = await publish(store, observer, street.channel, message('a'))
    const [row] = await one.reader.read()
    await handle('one', [row!])
    const failure = { epoch: one.epoch(street.first), attempts: 3, errorCode: 'E', error: 'e' }
    expect(await one.outbox.bury([{ ...row!, ...failure, reason: 'rejected' }])).toEqual(['gone'])
    expect(await one.outbox.block([{ ...row!, ...failure, retryInMs: 0 }])).toEqual(['gone'])
    const { rows } = await observer.query('select 1 from waybill.dead where id = $1', [id])
    expect(rows).toEqual([])
  })

  test('bring a due line as an orphan once the consumer has handled its row', async () => {
    const street = await openStreet(url, store, { consumers: ['one', 'two'], partitions: 1 })
    const one = await openDesk(store, street, 'one')
    const [first, second] = await publish(store, observer, street.channel, message('a'), message('a'))
    const [row] = await one.reader.read()
    const failure = { epoch: one.epoch(street.first), attempts: 1, retryInMs: 0, errorCode: 'E', error: 'e' }
    await one.outbox.block([{ ...row!, ...failure }])
    await handle('one', [row!])
    const result = await one.reader.look()
    expect(idsOf(result.orphans)).toEqual([first])
    await one.outbox.remove(result.orphans)
    expect(idsOf(await new TestReader(one.outbox, street).read())).toEqual([second])
  })

  test('delete at the next claim what a dead relay had handled and not deleted', async () => {
    const street = await openStreet(url, store, { consumers: ['one', 'two'], partitions: 2 })
    const [one, two] = [await openDesk(store, street, 'one'), await openDesk(store, street, 'two')]
    const ids = await publish(
      store,
      observer,
      street.channel,
      ...['a', 'b', 'c', 'd'].map((key) => message(key)),
    )
    const rows = await one.reader.read()
    await handle('one', rows)
    await handle(
      'two',
      rows.filter((row) => row.id !== ids[3]),
    )
    expect(await there(street.channel)).toHaveLength(4)
    await one.leases.close()
    await openDesk(store, street, 'one')
    expect(await there(street.channel)).toEqual([ids[3]])
    await two.leases.close()
  })
})

async function locked(): Promise<number> {
  const { rows } = await observer.query<{ n: number }>(
    `select count(*)::int as n from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()`,
  )
  return rows[0]!.n
}

async function removeInSteps(desk: Desk, rows: readonly OutboxRow[]): Promise<number> {
  let sum = 0
  for (let at = 0; at < rows.length; at += 10)
    sum += (await desk.outbox.remove(rows.slice(at, at + 10))).removed
  return sum
}

describe('the end of a subscription', () => {
  test('releases the rows that waited only for that consumer, and keeps the others', async () => {
    const consumers = ['one', 'two', 'leaving']
    const street = await openStreet(url, store, { consumers, partitions: 1 })
    const [one, two] = [await openDesk(store, street, 'one'), await openDesk(store, street, 'two')]
    const [a, b, c] = await publish(store, observer, street.channel, message('a'), message('b'), message('c'))
    const rows = await one.reader.read()
    await one.outbox.remove(rows.slice(0, 2))
    await two.outbox.remove(rows.slice(0, 1))
    expect(await there(street.channel)).toEqual([a, b, c])
    const ended = [{ channel: street.channel, released: 1, isLast: false }]
    expect(await store.schema.unsubscribe('leaving', { isDryRun: true })).toEqual(ended)
    expect(await there(street.channel)).toEqual([a, b, c])
    expect(await store.schema.unsubscribe('leaving')).toEqual(ended)
    expect(await there(street.channel)).toEqual([b, c])
    expect(await store.schema.unsubscribe('leaving')).toEqual([])
    expect(
      await (await store.openLeases({ transport: street.transport, consumer: 'leaving' })).survey(),
    ).toMatchObject({
      partitions: 0,
    })
  })

  test('keeps every row where it was the last subscriber: nobody has had them', async () => {
    const street = await openStreet(url, store, { consumers: ['last'], partitions: 1 })
    const ids = await publish(store, observer, street.channel, message('a'))
    const ended = [{ channel: street.channel, released: 0, isLast: true }]
    expect(await store.schema.unsubscribe('last')).toEqual(ended)
    expect(await there(street.channel)).toEqual(ids)
  })

  test('is refused while a process of the consumer lives, and goes through when that has left', async () => {
    const street = await openStreet(url, store, { consumers: ['living', 'other'], partitions: 1 })
    const ids = await publish(store, observer, street.channel, message('a'))
    const living = await openDesk(store, street, 'living')
    for (const isDryRun of [true, false]) {
      await expect(store.schema.unsubscribe('living', { isDryRun })).rejects.toMatchObject({
        code: 'WB_STORE_CONFLICT',
        message: expect.stringContaining(`process ${process.pid}`),
      })
    }
    expect(await living.reader.read()).toMatchObject([{ id: ids[0] }])
    await living.leases.close()
    expect(await store.schema.unsubscribe('living')).toMatchObject([{ channel: street.channel }])
  })
})
