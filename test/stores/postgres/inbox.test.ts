import { beforeAll, describe, expect, test } from 'vitest'
import type pg from 'pg'
import { newMessageId } from '../../../src/kernel/ids.ts'
import { headersFrom } from '../../../src/kernel/message.ts'
import type { RefusedMessage } from '../../../src/ports/inbox.ts'
import type { OutboxRow } from '../../../src/ports/outbox.ts'
import type { Store } from '../../../src/ports/store.ts'
import { pgExecutor } from '../../../src/transactions/pg.ts'
import { postgresDatabase } from '../../setup/servers.ts'
import { connect, idsOf, message, openDesk, openStore, openStreet, publish, untilBlocked } from './support.ts'

let url: string
let store: Store
let observer: pg.Client

beforeAll(async () => {
  ;({ url } = await postgresDatabase())
  store = openStore({ connectionString: url })
  await store.schema.migrate()
  observer = await connect(url)
})

async function begin(): Promise<pg.Client> {
  const client = await connect(url)
  await client.query('begin')
  return client
}

async function admit(client: pg.Client, consumer: string, ...ids: string[]): Promise<string[]> {
  return [...(await store.inbox.admit(pgExecutor(client), consumer, ids))].toSorted()
}

async function take(client: pg.Client, consumer: string, rows: readonly OutboxRow[]): Promise<string[]> {
  return [...(await store.inbox.take(pgExecutor(client), consumer, rows))].toSorted()
}

function ids(count: number): string[] {
  return Array.from({ length: count }, newMessageId)
}

async function starts(consumer: string, id: string): Promise<number> {
  const { rows } = await observer.query(
    'select starts from waybill.attempts where consumer = $1 and message_id = $2',
    [consumer, id],
  )
  return rows[0]?.starts ?? 0
}

describe('admitting', () => {
  test('of the same batch in opposite orders at once never deadlocks, and admits each id to one', async () => {
    const all = ids(300)
    const admitted = await Promise.all(
      [all, all.toReversed(), [...all.slice(150), ...all.slice(0, 150)]].map(async (order) => {
        const client = await begin()
        const found = await admit(client, 'race', ...order)
        await client.query('commit')
        return found
      }),
    )
    expect(admitted.flat().toSorted()).toEqual(all.toSorted())
  })
})

describe('starts of a message', () => {
  test("are counted outside the handlers' transaction, and forgotten when it was handled alone (O6)", async () => {
    const [a] = ids(1)
    expect(await store.inbox.countStart('one', a!)).toBe(1)
    expect(await store.inbox.countStart('one', a!)).toBe(2)
    expect(await store.inbox.countStart('two', a!)).toBe(1)
    await store.inbox.takeBackStart('one', a!)
    expect(await store.inbox.countStart('one', a!)).toBe(2)
    for (let i = 0; i < 3; i++) await store.inbox.takeBackStart('two', a!)
    expect(await store.inbox.countStart('two', a!)).toBe(1)
    const failing = await begin()
    await admit(failing, 'one', a!)
    await failing.query('rollback')
    expect(await starts('one', a!)).toBe(2)
    const handling = await begin()
    expect(await admit(handling, 'one', a!)).toEqual([a])
    await handling.query('commit')
    expect(await starts('one', a!)).toBe(0)
    expect(await starts('two', a!)).toBe(1)
  })
})

describe('burying', () => {
  function refused(id: string): RefusedMessage {
    const payload = Uint8Array.from({ length: 256 }, (_, i) => i)
    const headers = headersFrom([['traceparent', '00-ü']])
    const envelope = {
      id,
      channel: 'c',
      key: 'ключ',
      payload,
      contentType: 'x/y',
      headers,
      createdAt: new Date(1e12),
    }
    return { envelope, attempts: 5, reason: 'attempts-exhausted', errorCode: 'E', error: 'why' }
  }

  test('writes inbox row and dead letter, and forgets the starts; a second time writes nothing', async () => {
    const [a] = ids(1)
    await store.inbox.countStart('one', a!)
    expect(await store.inbox.bury('one', refused(a!))).toBe(true)
    expect(await store.inbox.bury('one', refused(a!))).toBe(false)
    expect(await admit(await begin(), 'one', a!)).toEqual([])
    expect(await starts('one', a!)).toBe(0)
    const { rows } = await observer.query('select * from waybill.dead where id = $1', [a])
    expect(rows).toHaveLength(1)
    expect(rows[0]).toMatchObject({
      consumer: 'one',
      channel: 'c',
      key: 'ключ',
      content_type: 'x/y',
      headers: { traceparent: '00-ü' },
      attempts: 5,
      reason: 'attempts-exhausted',
      error_code: 'E',
      error: 'why',
      created_at: new Date(1e12),
    })
    expect(rows[0].payload.equals(Buffer.from(refused(a!).envelope.payload))).toBe(true)
  })

  test('in a transaction given is there when that commits, and not where it rolls back', async () => {
    const [kept, dropped] = ids(2)
    const committed = await begin()
    expect(await store.inbox.bury('one', refused(kept!), pgExecutor(committed))).toBe(true)
    expect(await store.inbox.bury('one', refused(kept!), pgExecutor(committed))).toBe(false)
    await committed.query('commit')
    const rolledBack = await begin()
    expect(await store.inbox.bury('one', refused(dropped!), pgExecutor(rolledBack))).toBe(true)
    await rolledBack.query('rollback')
    const { rows } = await observer.query('select id from waybill.dead where id = any($1)', [[kept, dropped]])
    expect(rows).toEqual([{ id: kept }])
    expect(await admit(await begin(), 'one', kept!, dropped!)).toEqual([dropped])
  })

  test('waits for a copy that is being handled, and writes nothing when that commits', async () => {
    const [a] = ids(1)
    const handling = await begin()
    await admit(handling, 'one', a!)
    const burying = store.inbox.bury('one', refused(a!))
    await handling.query('commit')
    expect(await burying).toBe(false)
    const { rows } = await observer.query('select 1 from waybill.dead where id = $1', [a])
    expect(rows).toEqual([])
  })
})

describe('taking rows of the same database', () => {
  async function scene(consumers: string[]): Promise<{ rows: readonly OutboxRow[]; channel: string }> {
    const street = await openStreet(url, store, { consumers, partitions: 2 })
    const desk = await openDesk(store, street)
    await publish(store, observer, street.channel, message('a'), message('b'), message('c'))
    return { rows: await desk.reader.read(), channel: street.channel }
  }

  async function noted(consumer: string, rows: readonly OutboxRow[]): Promise<number> {
    const { rows: found } = await observer.query(
      'select 1 from waybill.inbox where consumer = $1 and message_id = any($2)',
      [consumer, idsOf(rows)],
    )
    return found.length
  }

  test('by the only consumer deletes them, and writes no inbox row', async () => {
    const { rows, channel } = await scene(['sole'])
    const client = await begin()
    expect(await take(client, 'sole', rows)).toEqual(idsOf(rows).toSorted())
    expect(await take(client, 'sole', rows)).toEqual([])
    await client.query('commit')
    expect(await noted('sole', rows)).toBe(0)
    const { rows: left } = await observer.query('select 1 from waybill.outbox where channel = $1', [channel])
    expect(left).toEqual([])
  })

  test('by one of several notes them in the inbox, and leaves the rows', async () => {
    const { rows, channel } = await scene(['one', 'two'])
    const client = await begin()
    expect(await take(client, 'one', rows)).toEqual(idsOf(rows).toSorted())
    await client.query('commit')
    expect(await take(await begin(), 'one', rows)).toEqual([])
    expect(await take(await begin(), 'two', rows)).toHaveLength(3)
    expect(await noted('one', rows)).toBe(3)
    const { rows: left } = await observer.query('select 1 from waybill.outbox where channel = $1', [channel])
    expect(left).toHaveLength(3)
  })

  test('takes by all three names only', async () => {
    for (const consumers of [['sole'], ['one', 'two']]) {
      const { rows } = await scene(consumers)
      const wrong = rows.map((row, i) => ({ ...row, id: rows[(i + 1) % 3]!.id }))
      expect(await take(await begin(), consumers[0]!, wrong)).toEqual([])
    }
  })

  test.for([
    { consumers: ['sole'], how: 'commit', then: 0 },
    { consumers: ['sole'], how: 'rollback', then: 3 },
    { consumers: ['one', 'two'], how: 'commit', then: 0 },
    { consumers: ['one', 'two'], how: 'rollback', then: 3 },
  ])(
    'waits for another that has them, and after its $how gets $then ($consumers)',
    async ({ consumers, how, then }) => {
      const { rows } = await scene(consumers)
      const [first, second] = [await begin(), await begin()]
      await take(first, consumers[0]!, rows)
      const waiting = take(second, consumers[0]!, rows)
      await untilBlocked(observer, second)
      await first.query(how)
      expect(await waiting).toHaveLength(then)
      await second.query('rollback')
    },
  )

  test('in a second transaction that began while there were two consumers, what the first noted is not handled twice', async () => {
    const { rows } = await scene(['staying', 'leaving'])
    const first = await begin()
    await take(first, 'staying', rows)
    await observer.query(`delete from waybill.subscriptions where consumer = 'leaving'`)
    const second = await begin()
    const waiting = take(second, 'staying', rows)
    await untilBlocked(observer, second)
    await first.query('commit')
    expect(await waiting).toEqual([])
    await second.query('commit')
  })
})
