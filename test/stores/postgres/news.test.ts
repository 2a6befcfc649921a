import { beforeAll, expect, test } from 'vitest'
import type pg from 'pg'
import type { Store } from '../../../src/ports/store.ts'
import { postgresDatabase } from '../../setup/servers.ts'
import { append, connect, idsOf, message, openDesk, openStore, openStreet, publish } from './support.ts'

let url: string
let store: Store
let observer: pg.Client

beforeAll(async () => {
  ;({ url } = await postgresDatabase())
  store = openStore({ connectionString: url })
  await store.schema.migrate()
  observer = await connect(url)
})

test('news are what has committed since the last read, below the floor and above it, and nothing else', async () => {
  const street = await openStreet(url, store, { partitions: 1 })
  const { reader } = await openDesk(store, street)
  const [slow, open] = [await connect(url), await connect(url)]
  await slow.query('begin')
  const low = message('k')
  await append(store, slow, street.channel, low)
  await open.query('begin')
  await append(store, open, street.channel, message('open'))
  await publish(store, observer, street.channel, message('before'))
  await reader.read()
  await slow.query('commit')
  const [next] = await publish(store, observer, street.channel, message('k'))
  const news = await reader.news()
  expect(news?.rows.map((row) => [row.id, row.origin])).toEqual([
    [low.id, 'late'],
    [next, 'upper'],
  ])
  const whole = await reader.look()
  expect(news?.rows.map(({ payload, place, key, seq }) => ({ payload, place, key, seq }))).toEqual(
    whole.rows.map(({ payload, place, key, seq }) => ({ payload, place, key, seq })),
  )
  expect(news!.snapshot.xmax).toBeGreaterThan(reader.last!.xmax)
  expect(news!.snapshot.open).toEqual(expect.arrayContaining([...whole.snapshot.open]))
  expect(news?.server).toBe(whole.server)
  expect(news?.marks).toEqual(reader.marks)
  await open.query('rollback')
})

test('news of other partitions and channels, delayed ones and those of a restored row stay where they are', async () => {
  const street = await openStreet(url, store, { partitions: 2, ordered: false })
  const { reader } = await openDesk(store, street)
  await reader.read()
  const [mine] = await publish(store, observer, street.channel, message(null))
  const { rows } = await observer.query('select partition from waybill.outbox where id = $1', [mine])
  const other = street.partitions.find((partition) => partition !== rows[0].partition)
  const copy = (columns: string, values: string): Promise<unknown> =>
    observer.query(
      `insert into waybill.outbox (partition, id, channel, payload${columns})
       values ($1, gen_random_uuid(), $2, ''${values})`,
      [rows[0].partition, street.channel],
    )
  await copy(', not_before', `, now() + interval '1 hour'`)
  await copy(', xid', `, '999999999999'`)
  await observer.query(
    `insert into waybill.outbox (partition, id, channel, payload) values ($1, gen_random_uuid(), $2, ''),
       ($3, gen_random_uuid(), 'another', '')`,
    [other, street.channel, rows[0].partition],
  )
  const partitions = [{ partition: rows[0].partition as number, floor: 0n, mark: null }]
  expect(idsOf((await reader.news({ partitions }))!.rows)).toEqual([mine])
})

test('news are for a whole read to tell while the clock stands before a mark: what is delayed to then would be passed by', async () => {
  const street = await openStreet(url, store, { partitions: 1 })
  const { reader } = await openDesk(store, street)
  await reader.read()
  const markAt = (ms: number): unknown =>
    reader.news({ partitions: [{ partition: street.first, floor: 0n, mark: `${ms * 1000}/1` }] })
  expect(await markAt(Date.now() + 3_600_000)).toBeNull()
  expect(await markAt(Date.now() - 3_600_000)).not.toBeNull()
})

test('news tell of a rewind', async () => {
  const street = await openStreet(url, store, { partitions: 2 })
  const { reader } = await openDesk(store, street)
  await reader.read()
  await observer.query('insert into waybill.rewinds (consumer, partition, counter) values ($1, $2, 7)', [
    street.lane.consumer,
    street.first,
  ])
  const { rewinds } = (await reader.news())!
  expect([...rewinds]).toEqual(street.partitions.map((each) => [each, each === street.first ? 7n : 0n]))
  expect(rewinds).toEqual((await reader.look()).rewinds)
})

test('news are for a whole read to tell where they are too many', async () => {
  const street = await openStreet(url, store, { partitions: 1 })
  const { reader } = await openDesk(store, street)
  await reader.read()
  await publish(store, observer, street.channel, message('a'), message('b'), message('c'))
  expect(await reader.news({ limit: 2 })).toBeNull()
  expect((await reader.news({ limit: 3 }))?.rows).toHaveLength(3)
})

test('news are for a whole read to tell while there are lines, wherever they are, and while the server recovers', async () => {
  const { url: other } = await postgresDatabase()
  const its = openStore({ connectionString: other })
  await its.schema.migrate()
  const client = await connect(other)
  const street = await openStreet(other, its, { partitions: 1 })
  const { reader } = await openDesk(its, street)
  expect((await reader.look()).hasLines).toBe(false)
  await reader.read()
  expect(await reader.news()).not.toBeNull()
  await client.query(
    `insert into waybill.blocked (partition, seq, id, channel, key, attempts, retry_at, error_code, error, first_error_code, first_error)
     values (9999, 1, gen_random_uuid(), 'another', 'k', 1, 'infinity', 'E', 'e', 'E', 'e')`,
  )
  expect(await reader.news()).toBeNull()
  expect((await reader.look()).hasLines).toBe(true)
  await client.query('delete from waybill.blocked')
  expect(await reader.news()).not.toBeNull()
  // A function of the same name, found before the real one, is what a replica looks like from here.
  await client.query(`create schema replica;
    create function replica.pg_is_in_recovery() returns boolean language sql as 'select true';
    alter database "${new URL(other).pathname.slice(1)}" set search_path = replica, pg_catalog`)
  const { reader: standby } = await openDesk(openStore({ connectionString: other }), street)
  standby.last = reader.last
  expect(await standby.news()).toBeNull()
})

test('on a consumer’s lane news are what it has not handled', async () => {
  const street = await openStreet(url, store, { partitions: 1, consumers: ['one', 'two'] })
  const { reader } = await openDesk(store, street, 'one')
  await reader.read()
  const [first, second] = await publish(store, observer, street.channel, message('a'), message('b'))
  await observer.query(`insert into waybill.inbox (consumer, message_id) values ('one', $1), ('two', $2)`, [
    first,
    second,
  ])
  expect(idsOf((await reader.news())!.rows)).toEqual([second])
})

test('one look for news after another misses nothing, and keeps each key in the order of its numbers', async () => {
  const street = await openStreet(url, store)
  const { reader } = await openDesk(store, street)
  await reader.read()
  let writing = 6
  const writers = Array.from({ length: writing }, async (_, w) => {
    const client = await connect(url)
    for (let round = 0; round < 50; round++) {
      await client.query('begin')
      const keys = [`key-${(w + round) % 7}`, `key-${(w * 3 + round) % 11}`].toSorted()
      for (const key of new Set(keys)) await append(store, client, street.channel, message(key))
      const chance = (w * 31 + round * 17) % 20
      if (chance === 0) await client.query('select pg_sleep(0.02)')
      await client.query(chance < 3 ? 'rollback' : 'commit')
    }
    writing -= 1
  })
  const seen: string[] = []
  const lastOf = new Map<string, bigint>()
  let late = 0
  for (let quiet = 0; writing > 0 || quiet < 2;) {
    const isLast = writing === 0
    const { rows, snapshot } = (await reader.news({ limit: 1000 }))!
    reader.last = snapshot
    for (const row of rows) {
      expect(row.seq > (lastOf.get(row.key!) ?? 0n), 'a key went back').toBe(true)
      lastOf.set(row.key!, row.seq)
      const floor = reader.floors.get(row.partition)!
      if (row.origin === 'late') late += 1
      else if (row.seq > floor) reader.floors.set(row.partition, row.seq)
    }
    seen.push(...idsOf(rows))
    quiet = isLast && rows.length === 0 ? quiet + 1 : 0
  }
  await Promise.all(writers)
  const { rows: all } = await observer.query('select id from waybill.outbox where channel = $1', [
    street.channel,
  ])
  expect(all.length).toBeGreaterThan(200)
  expect(late).toBeGreaterThan(0)
  expect(seen.toSorted()).toEqual(idsOf(all).toSorted())
})
