import { beforeAll, describe, expect, test } from 'vitest'
import type pg from 'pg'
import type { Store } from '../../../src/ports/store.ts'
import { spawnChild } from '../../../src/testing/child.ts'
import { until } from '../../../src/testing/until.ts'
import { postgresDatabase } from '../../setup/servers.ts'
import { LayoutScene, range } from './layout-scene.ts'
import { append, connect, message, openStore, openStreet, publish, untilBlocked } from './support.ts'

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

describe('a change of the number of partitions', () => {
  test('gives new numbers that no transport has had, and new messages go there, however they are published', async () => {
    const street = await openStreet(url, store, { partitions: 4 })
    const other = await openStreet(url, store, { partitions: 3 })
    await scene.change(street, 16).ended
    const { first, count, changing } = await scene.layoutOf(street)
    expect({ first, count, changing }).toEqual({ first: other.first + 3, count: 16, changing: false })
    await publish(store, observer, street.channel, message('a'))
    expect(range(first, count)).toContain(await scene.newest(street))
    await publish(store, observer, street.channel, message('a'), message('b'))
    expect(range(first, count)).toContain(await scene.newest(street))
    await observer.query(`select waybill.publish($1, '{}', 'a')`, [street.channel])
    expect(range(first, count)).toContain(await scene.newest(street))
    expect((await scene.layoutOf(other)).first).toBe(other.first)
    await openStreet(url, store, { partitions: 2 })
    const { rows } = await observer.query(
      'select count(*) = count(distinct p) as once from (select distinct transport, partition as p from waybill.partitions) x',
    )
    expect(rows[0].once).toBe(true)
  })

  test('waits for a transaction that began before it and has only read, whose message still goes by the old layout', async () => {
    const street = await openStreet(url, store, { partitions: 4 })
    const early = await connect(url)
    await early.query('begin isolation level repeatable read')
    await early.query('select 1')
    const { ended, waits } = scene.change(street, 8)
    await scene.isAnnounced(street)
    await until('that it says so', () => waits.length > 0)
    expect(waits[0]).toMatchObject({ for: 'transactions', oldest: expect.stringContaining('process') })
    await append(store, early, street.channel, message('a'))
    expect((await scene.layoutOf(street)).first).toBe(street.first)
    await early.query('commit')
    await ended
    expect(street.partitions).toContain(await scene.newest(street))
    expect((await scene.layoutOf(street)).count).toBe(8)
  })

  test('waits for one that began before it and is prepared meanwhile', async () => {
    const street = await openStreet(url, store, { partitions: 4 })
    const early = await connect(url)
    await early.query('begin')
    await append(store, early, street.channel, message('a'))
    const { ended, waits } = scene.change(street, 8)
    await scene.isAnnounced(street)
    await early.query(`prepare transaction 'early'`)
    await until('that it says so', () =>
      waits.some((wait) => wait.for === 'transactions' && wait.oldest.includes('"early"')),
    )
    await early.query(`commit prepared 'early'`)
    await ended
    expect(street.partitions).toContain(await scene.newest(street))
  })

  test('waits for who published after the announcement, and lets others publish meanwhile', async () => {
    const street = await openStreet(url, store, { partitions: 4 })
    const early = await connect(url)
    await early.query('begin')
    await early.query('select pg_current_xact_id()')
    const { ended, waits } = scene.change(street, 8)
    await until('that it knows whom to wait for', () => waits.length > 0)
    const writer = await connect(url)
    await writer.query('begin')
    await append(store, writer, street.channel, message('a'))
    await early.query('commit')
    await until('that it waits for writers', () => waits.some((wait) => wait.for === 'writers'))
    await publish(store, observer, street.channel, message('b'))
    expect(street.partitions).toContain(await scene.newest(street))
    await writer.query('commit')
    await ended
    await publish(store, observer, street.channel, message('a'))
    expect(street.partitions).not.toContain(await scene.newest(street))
  })

  test.for(['one message', 'several messages', 'the SQL function'])(
    'sends %s that waited for it into the new layout',
    async (form) => {
      const street = await openStreet(url, store, { partitions: 4 })
      const changer = await connect(url)
      await changer.query('update waybill.transports set is_changing = true where transport = $1', [
        street.transport,
      ])
      await changer.query('begin')
      await changer.query(
        `select pg_advisory_xact_lock(hashtextextended('waybill layout "waybill"' || chr(10) || $1::text, 0))`,
        [street.transport],
      )
      await changer.query(
        `update waybill.transports set first_partition = 100000 + first_partition, is_changing = false where transport = $1`,
        [street.transport],
      )
      const writer = await connect(url)
      const publishing =
        form === 'the SQL function'
          ? writer.query(`select waybill.publish($1, '{}', 'a')`, [street.channel])
          : publish(
              store,
              writer,
              street.channel,
              ...(form === 'one message' ? [message('a')] : [message('a'), message('a')]),
            )
      await untilBlocked(observer, writer)
      await changer.query('commit')
      await publishing
      expect(await scene.newest(street)).toBeGreaterThanOrEqual(100_000)
      await observer.query('delete from waybill.outbox where channel = $1', [street.channel])
      await observer.query(
        'update waybill.transports set first_partition = first_partition - 100000 where transport = $1',
        [street.transport],
      )
    },
  )

  test('fails a publish of a REPEATABLE READ transaction whose snapshot is older, to be run again', async () => {
    const street = await openStreet(url, store, { partitions: 4 })
    const writer = await connect(url)
    const early = await connect(url)
    await early.query('begin')
    await early.query('select pg_current_xact_id()')
    const { ended, waits } = scene.change(street, 8)
    await until('that it knows whom to wait for', () => waits.length > 0)
    await writer.query('begin isolation level repeatable read')
    await writer.query('select 1')
    await early.query('commit')
    await ended
    await expect(append(store, writer, street.channel, message('a'))).rejects.toMatchObject({
      code: 'WB_STORE_CONFLICT',
      retryable: 'yes',
    })
    await writer.query('rollback')
    await publish(store, writer, street.channel, message('a'))
    expect(street.partitions).not.toContain(await scene.newest(street))
  })

  test('is seen by writers of a channel that is registered meanwhile, whoever commits first', async () => {
    const { transport } = await openStreet(url, store, { partitions: 4 })
    const changing = async (channel: string): Promise<unknown> => {
      const text = 'select is_changing, first_partition, partitions from waybill.channels where channel = $1'
      return (await observer.query(text, [channel])).rows[0]
    }
    const announce =
      'update waybill.transports set is_changing = true where transport = $1 returning first_partition, partitions'
    const register = `insert into waybill.channels (channel, transport, address, ordered, max_bytes)
      values ($1, $2, 'somewhere', true, 1000)`
    const [changer, registrar] = [await connect(url), await connect(url)]

    await changer.query('begin')
    const { rows: layout } = await changer.query(announce, [transport])
    const waiting = registrar.query(register, [`late ${transport}`, transport])
    await untilBlocked(observer, registrar)
    await changer.query('commit')
    await waiting
    expect(await changing(`late ${transport}`)).toEqual({ is_changing: true, ...layout[0] })

    await observer.query('update waybill.transports set is_changing = false where transport = $1', [
      transport,
    ])
    expect(await changing(`late ${transport}`)).toEqual({ is_changing: false, ...layout[0] })
    await registrar.query('begin')
    await registrar.query(register, [`early ${transport}`, transport])
    const announcing = changer.query(announce, [transport])
    await untilBlocked(observer, changer)
    await registrar.query('commit')
    await announcing
    expect(await changing(`early ${transport}`)).toEqual({ is_changing: true, ...layout[0] })
  })

  test('needs no right of a publisher but to read and insert', async () => {
    const street = await openStreet(url, store, { partitions: 4 })
    await observer.query('create role plain_writer')
    await observer.query('grant usage on schema waybill to plain_writer')
    await observer.query('grant select on waybill.channels to plain_writer')
    await observer.query('grant insert on waybill.outbox to plain_writer')
    await observer.query('update waybill.transports set is_changing = true where transport = $1', [
      street.transport,
    ])
    const writer = await connect(url)
    await writer.query('set role plain_writer')
    await publish(store, writer, street.channel, message('a'))
    await publish(store, writer, street.channel, message('a'), message('b'))
    await scene.change(street, 4).ended
    expect(street.partitions).toContain(await scene.newest(street))
  })

  test('is given up at an abort, and leaves nothing', async () => {
    const street = await openStreet(url, store, { partitions: 4 })
    const early = await connect(url)
    await early.query('begin')
    await early.query('select pg_current_xact_id()')
    const { ended, abort } = scene.change(street, 8)
    await scene.isAnnounced(street)
    abort()
    await expect(ended).rejects.toMatchObject({ code: 'WB_ABORTED' })
    expect(await scene.layoutOf(street)).toEqual({ first: street.first, count: 4, changing: false })
    await early.query('commit')
  })

  test('is refused while another is under way, and where the transport is not known', async () => {
    const street = await openStreet(url, store, { partitions: 4 })
    const early = await connect(url)
    await early.query('begin')
    await early.query('select pg_current_xact_id()')
    const first = scene.change(street, 8)
    await scene.isAnnounced(street)
    await expect(scene.change(street, 9).ended).rejects.toMatchObject({ code: 'WB_STORE_CONFLICT' })
    await early.query('commit')
    await first.ended
    await expect(scene.change({ ...street, transport: 'nobody' }, 9).ended).rejects.toMatchObject({
      code: 'WB_INVALID_OPTION',
    })
  })

  test('is refused where the numbers of partitions have come to their end, before anything is changed', async () => {
    const street = await openStreet(url, store, { partitions: 4 })
    const move = 'update waybill.layouts set first_partition = first_partition + $2::int where transport = $1'
    const far = 2_147_483_640 - street.first
    await observer.query(move, [street.transport, far])
    await expect(scene.change(street, 5).ended).rejects.toMatchObject({ code: 'WB_INVALID_OPTION' })
    expect(await scene.layoutOf(street)).toEqual({ first: street.first, count: 4, changing: false })
    await observer.query(move, [street.transport, -far])
  })

  test.for(['layout.after-announce', 'layout.before-change', 'layout.after-change'])(
    'that died at %s is ended by running it again, or undone by asking for the present number',
    async (point) => {
      const street = await openStreet(url, store, { partitions: 4 })
      const run = async (partitions: number, failpoints?: string): Promise<unknown> =>
        await spawnChild({
          script: new URL('layout-changer.ts', import.meta.url).pathname,
          args: [url, street.transport, String(partitions)],
          ...(failpoints === undefined ? {} : { failpoints }),
        }).exited
      expect(await run(8, `${point}=kill`)).toMatchObject({ signal: 'SIGKILL' })
      const isThere = point === 'layout.after-change'
      expect(await scene.layoutOf(street)).toMatchObject({ count: isThere ? 8 : 4, changing: !isThere })
      await publish(store, observer, street.channel, message('a'))
      expect(street.partitions.includes(await scene.newest(street))).toBe(!isThere)
      expect(await run(isThere ? 8 : 4)).toMatchObject({ code: 0 })
      expect(await scene.layoutOf(street)).toMatchObject({ count: isThere ? 8 : 4, changing: false })
      expect(await run(12)).toMatchObject({ code: 0 })
      expect(await scene.layoutOf(street)).toMatchObject({ count: 12, changing: false })
    },
  )
})
