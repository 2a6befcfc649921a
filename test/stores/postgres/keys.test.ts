import { beforeAll, describe, expect, test } from 'vitest'
import type { LineName } from '../../../src/ports/keys.ts'
import type { OutboxRow } from '../../../src/ports/outbox.ts'
import { skipText } from '../../../src/stores/postgres/key-statements.ts'
import { postgresDatabase } from '../../setup/servers.ts'
import { letterOf, lineOf } from './failures.ts'
import { seen, Town } from './operator-scene.ts'
import { connect, idsOf, openDesk, openStore, untilPurposeWaits } from './support.ts'

let town: Town

beforeAll(async () => {
  const { url } = await postgresDatabase()
  const store = openStore({ connectionString: url })
  await store.schema.migrate()
  town = new Town(url, store, await connect(url))
})

function nameOf({ partition, seq }: OutboxRow, consumer = ''): LineName {
  return { consumer, partition, seq }
}

describe('a list of held keys', () => {
  test('tells state, head and errors, and is filtered and paged', async () => {
    const { street, desk, rows } = await town.parked(['a', 'b', 'c', 'a', 'a'])
    await desk.outbox.block([
      lineOf(rows[1]!, desk, { retryInMs: null, attempts: 5, errorCode: 'B' }),
      lineOf(rows[2]!, desk, { retryInMs: 60_000 }),
    ])
    const { keys } = town.store
    const { channel } = street
    const all = await keys.list({ channel }, { limit: 10 })
    expect(all).toMatchObject([
      { key: 'a', state: 'parked', id: rows[0]!.id, parkedMessages: 3, retryAt: null },
      {
        key: 'b',
        state: 'blocked',
        id: rows[1]!.id,
        attempts: 5,
        errorCode: 'B',
        retryAt: null,
        parkedMessages: 0,
      },
      { key: 'c', state: 'retrying', id: rows[2]!.id, retryAt: expect.any(Date) },
    ])
    expect(await keys.list({ channel }, { limit: 1, after: all[0] })).toEqual([all[1]])
    expect(await keys.list({ channel, state: 'retrying' }, { limit: 9 })).toEqual([all[2]])
    expect(await keys.list({ channel, key: 'b' }, { limit: 9 })).toEqual([all[1]])
    expect(await keys.list({ ids: [rows[2]!.id] }, { limit: 9 })).toEqual([all[2]])
    expect(await keys.list({ channel, olderThanMs: 60_000 }, { limit: 9 })).toEqual([])
    expect(await keys.count({ channel, newerThanMs: 3_600_000 })).toBe(3)
  })
})

describe('unblocking', () => {
  test('tries a blocked head again now, from no attempts, and leaves its key held until it is delivered', async () => {
    const { street, desk, rows } = await town.scene(['a', 'a'])
    await desk.outbox.block([lineOf(rows[0]!, desk, { retryInMs: null, attempts: 9 })])
    const before = await town.rewind(street)
    expect(await town.store.keys.unblock([nameOf(rows[0]!)])).toBe(1)
    expect(await town.rewind(street)).toBe(before + 1)
    const [head] = await desk.reader.read()
    expect(head).toMatchObject({ id: rows[0]!.id, origin: 'retry', attempts: 0 })
    expect(await seen(desk, street)).toEqual([[rows[0]!.id, false]])
  })

  test('does not wait for the time of a retry, and keeps its attempts', async () => {
    const { desk, rows } = await town.scene(['a'])
    await desk.outbox.block([lineOf(rows[0]!, desk, { retryInMs: 3_600_000, attempts: 2 })])
    expect(await desk.reader.read()).toEqual([])
    expect(await town.store.keys.unblock([nameOf(rows[0]!)])).toBe(1)
    expect(await desk.reader.read()).toMatchObject([{ origin: 'retry', attempts: 2 }])
  })

  test('leaves a parked key alone', async () => {
    const { street, rows } = await town.parked(['a', 'a'])
    expect(await town.store.keys.unblock([nameOf(rows[0]!)])).toBe(0)
    expect(await town.store.keys.list({ channel: street.channel }, { limit: 1 })).toMatchObject([
      { state: 'parked' },
    ])
  })

  test('waits for a relay that is writing the line, and unblocks what it wrote', async () => {
    const { street, desk, rows } = await town.scene(['a'])
    await desk.outbox.block([lineOf(rows[0]!, desk, { retryInMs: 3_600_000 })])
    const relay = await connect(town.url)
    await relay.query('begin')
    await relay.query(
      `update waybill.blocked set state = 'blocked', retry_at = 'infinity', attempts = 8 where channel = $1`,
      [street.channel],
    )
    const unblocking = town.store.keys.unblock([nameOf(rows[0]!)])
    await untilPurposeWaits(town.observer, 'operator')
    await relay.query('commit')
    expect(await unblocking).toBe(1)
    expect(await desk.reader.read()).toMatchObject([{ origin: 'retry', attempts: 0 }])
  })

  test('finds nothing where the message was delivered meanwhile', async () => {
    const { desk, rows } = await town.scene(['a'])
    await desk.outbox.block([lineOf(rows[0]!, desk, { retryInMs: null })])
    await desk.outbox.remove([rows[0]!])
    expect(await town.store.keys.unblock([nameOf(rows[0]!)])).toBe(0)
  })
})

describe('skipping', () => {
  test('makes the head a dead letter with what its line tells, and lets the key go on', async () => {
    const { street, desk, rows } = await town.scene(['a', 'a', 'b'])
    await desk.outbox.block([lineOf(rows[0]!, desk, { errorCode: 'FIRST' })])
    await desk.outbox.block([lineOf(rows[0]!, desk, { errorCode: 'LAST', attempts: 4, retryInMs: null })])
    const before = await town.rewind(street)
    expect(await town.store.keys.skip(nameOf(rows[0]!))).toBe('skipped')
    expect(await town.rewind(street)).toBe(before + 1)
    const [letter] = await town.store.deadLetters.find({ id: rows[0]!.id })
    expect(letter).toMatchObject({
      reason: 'skipped',
      attempts: 4,
      errorCode: 'LAST',
      firstErrorCode: 'FIRST',
      seq: rows[0]!.seq,
    })
    expect(await seen(desk, street)).toEqual(idsOf(rows.slice(1)).map((id) => [id, false]))
    expect(await town.store.keys.skip(nameOf(rows[0]!))).toBe('gone')
  })

  test('gives nothing up that was delivered meanwhile', async () => {
    const { street, desk, rows } = await town.scene(['a', 'a'])
    await desk.outbox.block([lineOf(rows[0]!, desk, { retryInMs: null })])
    await town.observer.query('delete from waybill.outbox where id = $1', [rows[0]!.id])
    expect(await town.store.keys.skip(nameOf(rows[0]!))).toBe('gone')
    expect(await town.ids('dead', street)).toEqual([])
    expect(await town.ids('blocked', street)).toEqual([])
    expect(await seen(desk, street)).toEqual([[rows[1]!.id, false]])
  })

  test('waits for a handler that has taken the message, and gives up nothing it has handled', async () => {
    const { street, desk, rows } = await town.scene(['a'], ['one', 'two'])
    await desk.outbox.block([lineOf(rows[0]!, desk, { retryInMs: null })])
    const handler = await connect(town.url)
    await handler.query('begin')
    await handler.query('select from waybill.outbox where id = $1 for key share', [rows[0]!.id])
    await handler.query(`insert into waybill.inbox (consumer, message_id) values ('one', $1)`, [rows[0]!.id])
    const skipping = town.store.keys.skip(nameOf(rows[0]!, 'one'))
    await untilPurposeWaits(town.observer, 'operator')
    await handler.query('commit')
    expect(await skipping).toBe('gone')
    expect(await town.ids('dead', street)).toEqual([])
  })

  test('on the lane of a local consumer leaves the row for the others', async () => {
    const { street, desk, rows } = await town.scene(['a', 'a'], ['one', 'two'])
    const other = await openDesk(town.store, street, 'two')
    await desk.outbox.block([lineOf(rows[0]!, desk, { retryInMs: null })])
    expect(await town.store.keys.skip(nameOf(rows[0]!, 'one'))).toBe('skipped')
    expect(await town.inbox(rows[0]!.id)).toEqual(['one'])
    expect(await seen(desk, street)).toEqual([[rows[1]!.id, false]])
    expect(await seen(other, street)).toEqual(idsOf(rows).map((id) => [id, false]))
  })

  test('on the lane of the only consumer takes the row too', async () => {
    const { street, desk, rows } = await town.scene(['a'], ['one'])
    await desk.outbox.block([lineOf(rows[0]!, desk, { retryInMs: null })])
    expect(await town.store.keys.skip(nameOf(rows[0]!, 'one'))).toBe('skipped')
    expect(await town.ids('outbox', street)).toEqual([])
    expect(await town.ids('dead', street)).toEqual([rows[0]!.id])
  })

  describe('a head that is being sent', () => {
    test('is no dead letter any more when it is delivered after all', async () => {
      const { street, desk, rows } = await town.scene(['a', 'a'])
      await desk.outbox.block([lineOf(rows[0]!, desk, { retryInMs: 0 })])
      expect(await town.store.keys.skip(nameOf(rows[0]!))).toBe('skipped')
      await desk.outbox.remove([rows[0]!])
      expect(await town.ids('dead', street)).toEqual([])
      expect(await seen(desk, street)).toEqual([[rows[1]!.id, false]])
    })

    test('stays one where another row of that id was delivered, or a relay gave it up', async () => {
      const { street, desk, rows } = await town.scene(['a', 'b'])
      await desk.outbox.block([lineOf(rows[0]!, desk, { retryInMs: 0 })])
      expect(await town.store.keys.skip(nameOf(rows[0]!))).toBe('skipped')
      await desk.outbox.bury([letterOf(rows[1]!, desk)])
      await desk.outbox.remove([{ ...rows[0]!, seq: rows[0]!.seq + 1n }, rows[1]!])
      expect(await town.ids('dead', street)).toEqual(idsOf(rows))
    })

    test('in a fenced transaction is none either, also where the skip commits while its row is deleted', async () => {
      const { street, desk, rows } = await town.scene(['a'])
      await desk.outbox.block([lineOf(rows[0]!, desk, { retryInMs: 0 })])
      const [retry] = await desk.reader.read()
      const operator = await connect(town.url)
      await operator.query('begin')
      const line = ['', retry!.partition, retry!.seq.toString()]
      expect((await operator.query(skipText('waybill'), line)).rows).toMatchObject([{ letters: 1 }])
      const partition = { partition: street.first, epoch: desk.epoch(street.first) }
      const removing = desk.outbox.removeFenced(partition, { number: 1n, lineage: 'log' }, [retry!])
      await untilPurposeWaits(town.observer, 'deletes')
      await operator.query('commit')
      expect(await removing).toBe(true)
      expect(await town.ids('dead', street)).toEqual([])
    })

    test('is none either where only the note at the broker names it', async () => {
      const { street, desk, rows } = await town.scene(['a'])
      await desk.outbox.block([lineOf(rows[0]!, desk, { retryInMs: 0 })])
      expect(await town.store.keys.skip(nameOf(rows[0]!))).toBe('skipped')
      const partition = { partition: street.first, epoch: desk.epoch(street.first) }
      const { seq, id } = rows[0]!
      const named = [{ partition: street.first, seq, id }]
      expect(
        await desk.outbox.removeFenced({ ...partition, epoch: 0n }, { number: 1n, lineage: 'log' }, named),
      ).toBe(false)
      expect(await town.ids('dead', street)).toEqual([id])
      expect(await desk.outbox.removeFenced(partition, { number: 1n, lineage: 'log' }, named)).toBe(true)
      expect(await town.ids('dead', street)).toEqual([])
    })
  })

  test('leaves a parked line to the dead letters', async () => {
    const { rows } = await town.parked(['a', 'a'])
    expect(await town.store.keys.skip(nameOf(rows[0]!))).toBe('parked')
  })
})
