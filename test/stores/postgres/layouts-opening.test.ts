import { beforeAll, describe, expect, test } from 'vitest'
import type pg from 'pg'
import type { Store } from '../../../src/ports/store.ts'
import { postgresDatabase } from '../../setup/servers.ts'
import { claimable, LayoutScene, range } from './layout-scene.ts'
import { connect, message, openDesk, openStore, openStreet, publish, type Street } from './support.ts'

let url: string
let store: Store
let observer: pg.Client
let scene: LayoutScene

beforeAll(async () => {
  ;({ url } = await postgresDatabase())
  store = openStore({ connectionString: url })
  await store.schema.migrate()
  observer = await connect(url)
  scene = new LayoutScene(store, observer)
})

async function partitionOf({ first, channel }: Street, key: string): Promise<number> {
  const { rows } = await observer.query(
    'select $1::int + abs(hashtextextended($2::text || chr(10) || $3::text, 0) % 4)::int as partition',
    [first, channel, key],
  )
  return rows[0].partition
}

describe('a new layout', () => {
  test('is opened when the older one holds no row of an ordered channel, and that one goes when it is empty', async () => {
    const street = await openStreet(url, store, { partitions: 4 })
    const session = await store.openLeases(street.lane)
    await publish(store, observer, street.channel, message('a'))
    await scene.change(street, 2).ended
    await publish(store, observer, street.channel, message('a'))
    const { first } = await scene.layoutOf(street)
    expect(await claimable(session)).toEqual(street.partitions)
    expect(await store.layouts.look([street.transport])).toMatchObject([{ partitions: 2, older: 1 }])
    expect(await store.layouts.remains(street.transport)).toEqual([
      { channel: street.channel, ordered: true, kind: 'waiting', count: 1, isAtLeast: false },
    ])
    await observer.query('delete from waybill.outbox where partition = any($1::int[])', [street.partitions])
    expect(await claimable(session)).toEqual(range(first, 2))
    await session.survey()
    const { rows } = await observer.query('select partition from waybill.partitions where transport = $1', [
      street.transport,
    ])
    expect(rows.map(({ partition }) => partition).toSorted()).toEqual(range(first, 2))
    expect(await store.layouts.look([street.transport])).toMatchObject([{ partitions: 2, older: 0 }])
    await session.close()
  })

  test('has those who hold partitions of a dry one give them up, before they are deleted', async () => {
    const street = await openStreet(url, store, { partitions: 2 })
    const session = await store.openLeases(street.lane)
    const held = await session.claim(2)
    await scene.change(street, 3).ended
    await session.survey()
    expect(await session.survey()).toMatchObject({ partitions: 3, closed: street.partitions })
    expect(await session.renew(held, false)).toEqual(held)
    await session.release(held)
    await session.survey()
    expect(await store.layouts.look([street.transport])).toMatchObject([{ older: 0 }])
    expect(await session.survey()).toMatchObject({ closed: [] })
    await session.close()
  })

  test('waits for blocked rows, and not for rows without order, which stay where they are until they are due', async () => {
    const street = await openStreet(url, store, { partitions: 2, ordered: false })
    const session = await store.openLeases(street.lane)
    await publish(store, observer, street.channel, message('a'))
    await observer.query(
      `update waybill.outbox set not_before = now() + interval '1 hour' where channel = $1`,
      [street.channel],
    )
    await scene.change(street, 3).ended
    const { first } = await scene.layoutOf(street)
    await session.survey()
    expect(await claimable(session)).toEqual([...street.partitions, ...range(first, 3)])
    expect(await store.layouts.remains(street.transport)).toMatchObject([{ ordered: false, kind: 'delayed' }])
    await observer.query('delete from waybill.outbox where channel = $1', [street.channel])
    expect(await claimable(session)).toEqual(range(first, 3))
    await session.close()
  })

  test('takes parked keys over, with their lines and dead letters', async () => {
    const street = await openStreet(url, store, { partitions: 4 })
    const session = await store.openLeases(street.lane)
    const values = [street.first, street.channel]
    await observer.query(
      `insert into waybill.blocked (partition, seq, id, channel, key, state, attempts, retry_at, error_code, error, first_error_code, first_error)
       values ($1, 1, gen_random_uuid(), $2, 'held', 'parked', 1, 'infinity', 'E', 'e', 'E', 'e')`,
      values,
    )
    await observer.query(
      `insert into waybill.dead (id, channel, key, payload, content_type, headers, created_at, partition, seq, attempts, reason, error_code, error, first_error_code, first_error)
       values (gen_random_uuid(), $2, 'held', '', 't', '{}', now(), $1, 1, 1, 'rejected', 'E', 'e', 'E', 'e')`,
      values,
    )
    await scene.change(street, 16).ended
    await session.survey()
    await publish(store, observer, street.channel, message('held'))
    const partition = await scene.newest(street)
    for (const table of ['blocked', 'dead']) {
      const { rows } = await observer.query(`select partition from waybill.${table} where channel = $1`, [
        street.channel,
      ])
      expect(rows).toEqual([{ partition }])
    }
    await session.close()
  })

  test.for(['still drains', 'is gone'])(
    'has its rows behind a replay of a parked key where the older one %s',
    async (older) => {
      const street = await openStreet(url, store, { partitions: 4 })
      const session = await store.openLeases(street.lane)
      const place = await partitionOf(street, 'held')
      await observer.query(
        `insert into waybill.blocked (partition, seq, id, channel, key, state, attempts, retry_at, error_code, error, first_error_code, first_error)
         values ($1, 1, gen_random_uuid(), $2, 'held', 'parked', 1, 'infinity', 'E', 'e', 'E', 'e')`,
        [place, street.channel],
      )
      await observer.query(
        `insert into waybill.dead (id, channel, key, payload, content_type, headers, created_at, partition, seq, attempts, reason, error_code, error, first_error_code, first_error)
         select id, channel, key, '', 't', '{}', now(), partition, seq, 1, 'rejected', 'E', 'e', 'E', 'e'
         from waybill.blocked where channel = $1`,
        [street.channel],
      )
      // One more of the key that nobody has read yet.
      if (older === 'still drains') await publish(store, observer, street.channel, message('held'))
      await scene.change(street, 16).ended
      await session.survey()
      await publish(store, observer, street.channel, message('held'))
      const key = { consumer: '', channel: street.channel, key: 'held' }
      expect(await store.deadLetters.replay({ key })).toMatchObject({ returned: 1 })
      const { rows } = await observer.query(
        'select partition from waybill.outbox where channel = $1 order by seq',
        [street.channel],
      )
      const [replayed, ...later] = rows.map(({ partition }) => partition)
      expect(later).toHaveLength(older === 'still drains' ? 2 : 1)
      expect(replayed).toBe(later[0])
      expect(street.partitions.includes(replayed)).toBe(older === 'still drains')
      await session.close()
    },
  )

  test('is opened for each local consumer when that one has handled the older, and a slow one holds up nobody', async () => {
    const street = await openStreet(url, store, { partitions: 2, consumers: ['quick', 'slow'] })
    const [quick, slow] = [await openDesk(store, street, 'quick'), await openDesk(store, street, 'slow')]
    await publish(store, observer, street.channel, message('a'))
    const rows = await quick.reader.read()
    expect(rows).toHaveLength(1)
    await scene.change(street, 3).ended
    const { first } = await scene.layoutOf(street)
    await quick.outbox.remove(rows)
    await quick.leases.survey()
    expect(await quick.leases.survey()).toMatchObject({ partitions: 3, closed: street.partitions })
    expect(await quick.leases.claim(9)).toHaveLength(3)
    await slow.leases.survey()
    expect(await slow.leases.survey()).toMatchObject({ partitions: 2, closed: [] })
    // A consumer that comes now may need what stands in the older one too.
    await store.schema.register([], [{ consumer: 'late', channels: [street.channel] }], 4)
    const late = await openDesk(store, street, 'late')
    expect(await late.leases.survey()).toMatchObject({ partitions: 2 })
    const mine = await slow.reader.read()
    await slow.outbox.remove(mine)
    await slow.leases.survey()
    expect(await slow.leases.survey()).toMatchObject({ partitions: 3, closed: street.partitions })
    expect((await slow.leases.claim(9)).map(({ partition }) => partition).toSorted()).toEqual(range(first, 3))
  })
})
