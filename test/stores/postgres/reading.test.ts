import { beforeAll, describe, expect, test } from 'vitest'
import type pg from 'pg'
import type { Store } from '../../../src/ports/store.ts'
import { postgresDatabase } from '../../setup/servers.ts'
import {
  append,
  connect,
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

describe('a read', () => {
  test('brings rows as they were written, in order of their numbers, with the time of publishing', async () => {
    const street = await openStreet(url, store)
    const { reader } = await openDesk(store, street)
    const before = Date.now()
    const payload = Uint8Array.from({ length: 256 }, (_, i) => i)
    const given = [
      { ...message('ключ'), payload, headers: { traceparent: '00-1', 'x-quote"': "'" } },
      message('ключ', ''),
    ]
    await publish(store, observer, street.channel, ...given)
    const rows = await reader.read()
    expect(idsOf(rows)).toEqual(idsOf(given))
    expect(rows[0]).toMatchObject({ channel: street.channel, key: 'ключ', contentType: 'text/plain' })
    expect({ ...rows[0]!.headers }).toEqual(given[0]!.headers)
    expect(Object.getPrototypeOf(rows[0]!.headers)).toBe(null)
    expect(Buffer.from(payload).equals(rows[0]!.payload)).toBe(true)
    expect(rows[1]!.payload.byteLength).toBe(0)
    expect(rows[0]).toMatchObject({ origin: 'upper', attempts: 0 })
    expect(Math.abs(rows[0]!.createdAt.getTime() - before)).toBeLessThan(60_000)
  })

  test('brings a null key as null, and a number above 2^53 exactly', async () => {
    const street = await openStreet(url, store, { ordered: false, partitions: 1 })
    const { reader } = await openDesk(store, street)
    await observer.query(
      `insert into waybill.outbox (partition, seq, id, channel, payload) overriding system value
       values ($1, 9007199254740993, gen_random_uuid(), $2, '')`,
      [street.first, street.channel],
    )
    const rows = await reader.read()
    expect(rows.map((row) => [row.key, row.seq])).toEqual([[null, 9007199254740993n]])
  })

  test('limits the rows of each partition, and goes on above the floor', async () => {
    const street = await openStreet(url, store, { ordered: false, partitions: 2 })
    const { reader } = await openDesk(store, street)
    const ids = await publish(
      store,
      observer,
      street.channel,
      ...Array.from({ length: 100 }, () => message(null)),
    )
    const found: string[] = []
    for (
      let rows = await reader.read({ upperLimit: 7 });
      rows.length > 0;
      rows = await reader.read({ upperLimit: 7 })
    ) {
      expect(rows.length).toBeLessThanOrEqual(14)
      found.push(...idsOf(rows))
    }
    expect(found.toSorted()).toEqual(ids.toSorted())
  })

  test('leaves out channels that were not asked for, and rows that are delayed', async () => {
    const street = await openStreet(url, store, { partitions: 1 })
    const { outbox } = await openDesk(store, street)
    await publish(store, observer, street.channel, message('k'))
    expect(await new TestReader(outbox, street, ['another']).read()).toEqual([])
    await observer.query(
      `update waybill.outbox set not_before = now() + interval '1 hour' where channel = $1`,
      [street.channel],
    )
    expect(await new TestReader(outbox, street).read()).toEqual([])
    await observer.query(`update waybill.outbox set not_before = now() where channel = $1`, [street.channel])
    expect(await new TestReader(outbox, street).read()).toHaveLength(1)
  })

  test('of upper limit 0 reads none above the floor', async () => {
    const street = await openStreet(url, store)
    const { reader } = await openDesk(store, street)
    await publish(store, observer, street.channel, message('k'))
    expect(await reader.read({ upperLimit: 0 })).toEqual([])
  })

  test('tells which server it was and that it is none that recovers', async () => {
    const street = await openStreet(url, store)
    const { reader } = await openDesk(store, street)
    const [first, second] = [await reader.look(), await reader.look()]
    expect(first.server).toMatch(/:\d+\/\d{9,}/u)
    expect(second.server).toBe(first.server)
    expect(first.inRecovery).toBe(false)
  })

  test('in recovery brings nothing, and says so', async () => {
    const { url: other } = await postgresDatabase()
    const standby = openStore({ connectionString: other })
    await standby.schema.migrate()
    const street = await openStreet(other, standby)
    const client = await connect(other)
    await publish(standby, client, street.channel, message('k'))
    // A function of the same name, found before the real one, is what a replica looks like from here.
    await client.query(`create schema replica;
      create function replica.pg_is_in_recovery() returns boolean language sql as 'select true';
      alter database "${new URL(other).pathname.slice(1)}" set search_path = replica, pg_catalog`)
    const result = await new TestReader(await standby.openOutbox(street.lane), street).look()
    expect(result).toMatchObject({ inRecovery: true, rows: [] })
  })
})

describe('what committed late below the floor', () => {
  test('is brought by the next read, before what lies above the floor (P1)', async () => {
    const street = await openStreet(url, store, { partitions: 1 })
    const { reader } = await openDesk(store, street)
    const slow = await connect(url)
    await slow.query('begin')
    const low = message('slow')
    await append(store, slow, street.channel, low)
    const [high] = await publish(store, observer, street.channel, message('fast'))
    expect(idsOf(await reader.read())).toEqual([high])
    expect(await reader.read()).toEqual([])
    await slow.query('commit')
    const [next] = await publish(store, observer, street.channel, message('fast'))
    const rows = await reader.read()
    expect(rows.map((row) => [row.id, row.origin])).toEqual([
      [low.id, 'late'],
      [next, 'upper'],
    ])
    expect(await reader.read()).toEqual([])
  })

  test('comes before its successor on the same key, which stands above the floor', async () => {
    const street = await openStreet(url, store, { partitions: 1 })
    const { reader } = await openDesk(store, street)
    const slow = await connect(url)
    await slow.query('begin')
    const low = message('k')
    await append(store, slow, street.channel, low)
    await publish(store, observer, street.channel, message('other'))
    await reader.read()
    const successor = message('k')
    await append(store, slow, street.channel, successor)
    await slow.query('commit')
    const rows = await reader.read()
    expect(idsOf(rows)).toEqual([low.id, successor.id])
  })

  test('is brought also when its transaction began after the last snapshot and a higher number was read first', async () => {
    const street = await openStreet(url, store, { partitions: 1 })
    const { reader } = await openDesk(store, street)
    await reader.read()
    const slow = await connect(url)
    await slow.query('begin')
    const low = message('slow')
    await append(store, slow, street.channel, low)
    const [high] = await publish(store, observer, street.channel, message('fast'))
    expect(idsOf(await reader.read())).toEqual([high])
    await slow.query('commit')
    expect(idsOf(await reader.read())).toEqual([low.id])
  })

  test('is brought after a prepared transaction has ended, and holds nothing up before that', async () => {
    const street = await openStreet(url, store, { partitions: 1 })
    const { reader } = await openDesk(store, street)
    const client = await connect(url)
    await client.query('begin')
    const low = message('prepared')
    await append(store, client, street.channel, low)
    await client.query(`prepare transaction 'late-row'`)
    for (let i = 0; i < 3; i++) {
      const [other] = await publish(store, observer, street.channel, message(`other-${i}`))
      expect(idsOf(await reader.read())).toEqual([other])
    }
    await client.query(`commit prepared 'late-row'`)
    expect(idsOf(await reader.read())).toEqual([low.id])
    expect(await reader.read()).toEqual([])
  })

  test('is limited for each partition, lowest first', async () => {
    const street = await openStreet(url, store, { partitions: 2 })
    const { reader } = await openDesk(store, street)
    const slow = await connect(url)
    await slow.query('begin')
    const keys = Array.from({ length: 40 }, (_, i) => `key-${i}`)
    await append(store, slow, street.channel, ...keys.map((key) => message(key)))
    await publish(
      store,
      observer,
      street.channel,
      ...Array.from({ length: 20 }, (_, i) => message(`high-${i}`)),
    )
    await reader.read()
    await slow.query('commit')
    const { rows } = await reader.look({ lateLimit: 3 })
    for (const partition of street.partitions) {
      const low = await observer.query(
        `select id from waybill.outbox where partition = $1 and key like 'key-%' order by seq limit 3`,
        [partition],
      )
      expect(idsOf(rows.filter((row) => row.partition === partition))).toEqual(idsOf(low.rows))
      expect(low.rows).toHaveLength(3)
    }
  })

  test('with a foreign transaction id, as a restored row has, is left to the floor', async () => {
    const street = await openStreet(url, store, { partitions: 1 })
    const { reader } = await openDesk(store, street)
    const [known] = await publish(store, observer, street.channel, message('k'))
    await reader.read()
    await observer.query(
      `insert into waybill.outbox (xid, partition, seq, id, channel, key, payload) overriding system value
       values ('999999999999', $1, -1, gen_random_uuid(), $2, 'restored', '')`,
      [street.first, street.channel],
    )
    expect(await reader.read()).toEqual([])
    const rows = await new TestReader(await store.openOutbox(street.lane), street).read({
      partitions: [{ partition: street.first, floor: -5n, mark: null }],
    })
    expect(rows.map((row) => row.key)).toEqual(['restored', 'k'])
    expect(rows[1]!.id).toBe(known)
  })
})

describe('reading while many write', () => {
  test('misses nothing, brings nothing twice, and keeps each key in the order of its numbers', async () => {
    const street = await openStreet(url, store)
    const { outbox, reader } = await openDesk(store, street)
    const idle = await connect(url)
    await idle.query('begin')
    // Open the whole time, with a row of its own: a scheme that waits for the oldest transaction would stand still (P2).
    await append(store, idle, street.channel, message('idle'))
    let writing = 8
    const writers = Array.from({ length: writing }, async (_, w) => {
      const client = await connect(url)
      for (let round = 0; round < 60; round++) {
        await client.query('begin')
        const keys = [`key-${(w + round) % 7}`, `key-${(w * 3 + round) % 11}`].toSorted()
        for (const key of new Set(keys))
          await append(store, client, street.channel, message(key), message(key))
        const chance = (w * 31 + round * 17) % 20
        if (chance === 0) await client.query('select pg_sleep(0.05)')
        if (chance === 1) await client.query(`prepare transaction 'w${w}-${round}'`)
        await client.query(
          chance === 1 ? `commit prepared 'w${w}-${round}'` : chance < 4 ? 'rollback' : 'commit',
        )
      }
      writing -= 1
    })
    const seen = new Set<string>()
    const lastOf = new Map<string, bigint>()
    let late = 0
    let quiet = 0
    while (writing > 0 || quiet < 2) {
      const isLast = writing === 0
      const rows = await reader.read()
      for (const row of rows.toSorted((a, b) => (a.seq < b.seq ? -1 : 1))) {
        expect(seen.has(row.id), 'a row came twice').toBe(false)
        seen.add(row.id)
        expect(row.seq > (lastOf.get(row.key!) ?? 0n), 'a key went back').toBe(true)
        lastOf.set(row.key!, row.seq)
        if (row.origin === 'late') late += 1
      }
      quiet = isLast && rows.length === 0 ? quiet + 1 : 0
    }
    await Promise.all(writers)
    const { rows: all } = await observer.query('select id from waybill.outbox where channel = $1', [
      street.channel,
    ])
    expect(all.length).toBeGreaterThan(500)
    expect(late).toBeGreaterThan(0)
    expect([...seen].toSorted()).toEqual(idsOf(all).toSorted())
    await idle.query('commit')
    expect((await reader.read()).map((row) => row.key)).toEqual(['idle'])
    await outbox.close()
  })
})

describe('a failed read', () => {
  test('can be made again: the connection is made anew', async () => {
    const street = await openStreet(url, store)
    const { reader } = await openDesk(store, street)
    await publish(store, observer, street.channel, message('k'))
    expect(await reader.look()).toMatchObject({ rows: { length: 1 } })
    await observer.query(
      `select pg_terminate_backend(pid, 5000) from pg_stat_activity
       where application_name = 'test reads' and datname = current_database()`,
    )
    const outcomes = []
    for (let i = 0; i < 3 && outcomes.at(-1) !== 1; i++) {
      outcomes.push(
        await reader.look().then(
          ({ rows }) => rows.length,
          (error: { code: string }) => error.code,
        ),
      )
    }
    expect(outcomes.at(-1)).toBe(1)
    expect(outcomes.slice(0, -1).every((outcome) => outcome === 'WB_STORE_UNREACHABLE')).toBe(true)
  })
})
