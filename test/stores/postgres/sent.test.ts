import type pg from 'pg'
import { beforeAll, beforeEach, describe, expect, test } from 'vitest'
import type { NewMessage } from '../../../src/ports/outbox-writer.ts'
import type { Replayed, SentFilter } from '../../../src/ports/sent-messages.ts'
import type { Store } from '../../../src/ports/store.ts'
import { pgExecutor } from '../../../src/transactions/pg.ts'
import { postgresDatabase } from '../../setup/servers.ts'
import {
  append,
  connect,
  type Desk,
  message,
  openDesk,
  openStore,
  openStreet,
  publish,
  type Street,
  untilPurposeWaits,
} from './support.ts'

const hour = 3_600_000
const day = 24 * hour

let url: string
let store: Store
let client: pg.Client

beforeAll(async () => {
  ;({ url } = await postgresDatabase())
  store = openStore({ connectionString: url }, { retainMs: 7 * day })
  await store.schema.migrate()
  client = await connect(url)
})

beforeEach(async () => {
  await client.query('truncate waybill.sent, waybill.outbox, waybill.inbox, waybill.dead, waybill.blocked')
})

async function sent(): Promise<string[]> {
  const { rows } = await client.query('select id from waybill.sent order by partition, seq')
  return rows.map(({ id }) => id)
}

async function waiting(): Promise<string[]> {
  const { rows } = await client.query('select id from waybill.outbox order by seq')
  return rows.map(({ id }) => id)
}

async function deliver({ outbox, reader }: Desk): Promise<void> {
  await outbox.remove(await reader.read())
}

/** Publishes, and has it sent and kept. */
async function keep(street: Street, ...messages: NewMessage[]): Promise<string[]> {
  const ids = await publish(store, client, street.channel, ...messages)
  const desk = await openDesk(store, street)
  await deliver(desk)
  await desk.leases.close()
  return ids
}

/** Inserts messages that were sent then, at that age. */
async function old(ageMs: number, count = 1): Promise<void> {
  await client.query(
    `insert into waybill.sent (sent_at, partition, seq, id, channel, payload, content_type, headers, created_at)
     select now() - $1 * interval '1 ms', 0, n, gen_random_uuid(), 'old', '', '', '{}', now() from generate_series(1, $2::int) n`,
    [ageMs, count],
  )
}

async function days(): Promise<string[]> {
  const { rows } = await client.query(
    `select c.relname as name from pg_inherits i join pg_class c on c.oid = i.inhrelid
     where i.inhparent = 'waybill.sent'::regclass order by 1`,
  )
  return rows.map(({ name }) => name)
}

describe('keeping what was sent', () => {
  test('moves a row with all it holds, in the statement that deletes it', async () => {
    const street = await openStreet(url, store)
    const one: NewMessage = { ...message('k', 'bytes'), headers: { a: 'b' } }
    await publish(store, client, street.channel, one)
    const before = await client.query(
      'select partition, seq, id, channel, key, payload, content_type, headers, created_at from waybill.outbox',
    )
    await deliver(await openDesk(store, street))
    const after = await client.query(
      'select partition, seq, id, channel, key, payload, content_type, headers, created_at from waybill.sent',
    )
    expect(after.rows).toEqual(before.rows)
    expect(await waiting()).toEqual([])
    const { rows } = await client.query('select id, type, status from waybill.messages')
    expect(rows).toEqual([{ id: one.id, type: street.channel, status: 'sent' }])
  })

  test('keeps nothing where it is off', async () => {
    const off = openStore({ connectionString: url })
    const street = await openStreet(url, off)
    await publish(off, client, street.channel, message('k'))
    await deliver(await openDesk(off, street))
    expect([await waiting(), await sent()]).toEqual([[], []])
  })

  test('keeps nothing of a channel that sends at most once', async () => {
    const street = await openStreet(url, store)
    const { channel, transport } = street
    const registration = {
      channel,
      transport,
      address: channel,
      ordered: true,
      maxBytes: 1000,
      retained: false,
    }
    await store.schema.register([registration], [], 4)
    await keep(street, message('k'))
    expect([await waiting(), await sent()]).toEqual([[], []])
  })

  test('does it with the rows of a fenced transaction, and not where its epoch has ended', async () => {
    const street = await openStreet(url, store, { partitions: 1 })
    const [id] = await publish(store, client, street.channel, message('k'))
    const { outbox, reader, epoch } = await openDesk(store, street)
    const rows = await reader.read()
    const at = { partition: street.first, epoch: epoch(street.first) }
    const note = { number: 1n, lineage: 'c/t' }
    expect(await outbox.removeFenced({ ...at, epoch: at.epoch - 1n }, note, rows)).toBe(false)
    expect(await sent()).toEqual([])
    expect(await outbox.removeFenced(at, note, rows)).toBe(true)
    expect(await sent()).toEqual([id])
  })

  test('is done once, by whichever consumer deletes the row', async () => {
    const street = await openStreet(url, store, { consumers: ['a', 'b'] })
    const [id] = await publish(store, client, street.channel, message('k'))
    await deliver(await openDesk(store, street, 'a'))
    expect([await waiting(), await sent()]).toEqual([[id], []])
    await deliver(await openDesk(store, street, 'b'))
    expect([await waiting(), await sent()]).toEqual([[], [id]])
  })

  test('is done with what a crash left behind, and with what waited only for a consumer that leaves', async () => {
    const street = await openStreet(url, store, { consumers: ['a', 'b'] })
    const [left, only] = await publish(store, client, street.channel, message('k'), message('k'))
    await client.query(
      `insert into waybill.inbox (consumer, message_id) values ('a', $1), ('b', $1), ('a', $2)`,
      [left, only],
    )
    const { leases } = await openDesk(store, street, 'a')
    expect([await waiting(), await sent()]).toEqual([[only], [left]])
    await leases.close()
    await store.schema.unsubscribe('b')
    expect(await waiting()).toEqual([])
    expect((await sent()).toSorted()).toEqual([left, only].toSorted())
  })

  test('notes what a sole consumer handled, so that a replay does not run its handler again', async () => {
    const street = await openStreet(url, store, { consumers: ['only'] })
    const [id] = await publish(store, client, street.channel, message('k'))
    const { reader } = await openDesk(store, street)
    const [row] = await reader.read()
    await client.query('begin')
    expect(await store.inbox.take(pgExecutor(client), 'only', [row!])).toEqual(new Set([id]))
    expect(await store.inbox.take(pgExecutor(client), 'only', [row!])).toEqual(new Set())
    await client.query('commit')
    expect(await sent()).toEqual([id])
    expect(await store.sent.replay({}, { after: null, limit: 10, asNew: false })).toMatchObject({
      replayed: 0,
      known: 1,
    })
  })

  test('keeps a message that one consumer gave up only where another has had it', async () => {
    const street = await openStreet(url, store, { consumers: ['only'], partitions: 1 })
    await publish(store, client, street.channel, message('k'))
    const bury = async (desk: Desk): Promise<void> => {
      const [row] = await desk.reader.read()
      const letter = { attempts: 1, errorCode: 'NO', error: 'no', epoch: desk.epoch(row!.partition) }
      expect(await desk.outbox.bury([{ ...row!, ...letter, reason: 'rejected' }])).toEqual(['written'])
    }
    await bury(await openDesk(store, street))
    expect([await waiting(), await sent()]).toEqual([[], []])

    const shared = await openStreet(url, store, { consumers: ['a', 'b'], partitions: 1 })
    const [id] = await publish(store, client, shared.channel, message('k'))
    await deliver(await openDesk(store, shared, 'b'))
    await bury(await openDesk(store, shared, 'a'))
    expect([await waiting(), await sent()]).toEqual([[], [id]])
  })
})

describe('days of sent messages', () => {
  test('are made ahead, by several at once, and take what is sent on them', async () => {
    const stores = [store, ...Array.from({ length: 4 }, () => openStore({ connectionString: url }))]
    await Promise.all(stores.map((each) => each.sent.prepare()))
    await store.sent.prepare()
    const made = await days()
    expect(made).toHaveLength(5)
    await old(0)
    const { rows } = await client.query('select tableoid::regclass::text as name from waybill.sent')
    expect(rows[0].name).toBe(`waybill.${made[0]}`)
    const { rows: options } = await client.query('select reloptions from pg_class where relname = any($1)', [
      made,
    ])
    for (const { reloptions } of options)
      expect(String(reloptions)).toContain('autovacuum_vacuum_insert_threshold')
  })

  test('are dropped whole when all of them is past, and none before', async () => {
    const make = (ago: number): Promise<unknown> =>
      client.query(`do $$ declare d date := (now() at time zone 'UTC')::date - ${ago}; begin
        execute format('create table waybill.sent_%s partition of waybill.sent for values from (%L) to (%L)',
          to_char(d, 'YYYYMMDD'), d::text || ' 00:00+00', (d + 1)::text || ' 00:00+00'); end $$`)
    for (const ago of [1, 2, 5]) await make(ago)
    await old(5 * day)
    await old(day)
    const before = await days()
    expect(await store.sent.survey(3 * day)).toMatchObject({
      pastDays: [expect.stringMatching(/^\d{4}-\d\d-\d\d$/u)],
    })
    expect(await days()).toEqual(before)
    expect(await store.sent.tidy(3 * day, 100)).toEqual({ days: 1, messages: 0 })
    expect(await days()).toHaveLength(before.length - 1)
    expect(await sent()).toHaveLength(1)
    expect(await store.sent.tidy(3 * day, 100)).toEqual({ days: 0, messages: 0 })
  })

  test('that are in use are dropped another time, and hold nobody up meanwhile', async () => {
    await client.query(`create table waybill.sent_20200101 partition of waybill.sent
      for values from ('2020-01-01 00:00+00') to ('2020-01-02 00:00+00')`)
    const reader = await connect(url)
    await reader.query('begin; select count(*) from waybill.sent')
    expect(await store.sent.tidy(100 * day, 100)).toMatchObject({ days: 0 })
    await reader.query('commit')
    expect(await store.sent.tidy(100 * day, 100)).toMatchObject({ days: 1 })
  })

  test('that nobody made leave messages in the rest, which goes in batches, the oldest first', async () => {
    await old(100 * day, 5)
    await old(40 * day, 3)
    await old(hour)
    expect(await store.sent.survey(30 * day)).toMatchObject({ pastMessages: 8 })
    expect(await store.sent.tidy(30 * day, 6)).toEqual({ days: 0, messages: 6 })
    expect(await store.sent.tidy(30 * day, 6)).toEqual({ days: 0, messages: 2 })
    expect(await sent()).toHaveLength(1)
  })

  test('need no rights of their own: a role that owns nothing keeps messages outside any day, and deletes row by row', async () => {
    const role = `clerk_${process.pid}`
    await client.query(`
      create role ${role} login;
      grant usage on schema waybill to ${role};
      grant select, insert, update, delete on all tables in schema waybill to ${role};
      create table waybill.sent_20190101 partition of waybill.sent
        for values from ('2019-01-01 00:00+00') to ('2019-01-02 00:00+00');
      insert into waybill.sent (sent_at, partition, seq, id, channel, payload, content_type, headers, created_at)
        select '2019-01-01 12:00+00', 0, n, gen_random_uuid(), 'old', '', '', '{}', now() from generate_series(1, 5) n`)
    await old(100 * day, 3)
    const as = new URL(url)
    as.username = role
    const clerk = openStore({ connectionString: as.href }, { retainMs: day })
    const before = await days()
    await clerk.sent.prepare()
    expect(await clerk.sent.tidy(30 * day, 4)).toEqual({ days: 0, messages: 4 })
    expect(await clerk.sent.tidy(30 * day, 100)).toEqual({ days: 0, messages: 4 })
    expect(await days()).toEqual(before)
    expect(await sent()).toEqual([])
    expect(await store.sent.tidy(30 * day, 100)).toMatchObject({ days: 1 })
    await client.query(`drop owned by ${role}; drop role ${role}`)
  })

  test('are left alone for messages that stand in the rest already', async () => {
    const today = new Date().toISOString().slice(0, 10).replaceAll('-', '')
    await client.query(`drop table if exists waybill.sent_${today}`)
    await old(0)
    await store.sent.prepare()
    await old(0)
    const { rows } = await client.query('select tableoid::regclass::text as name from waybill.sent')
    expect(rows.map(({ name }) => name)).toEqual(['waybill.sent_rest', 'waybill.sent_rest'])
  })
})

async function replayAll(
  filter: SentFilter = {},
  options: { asNew?: boolean; limit?: number } = {},
): Promise<Replayed[]> {
  const { asNew = false, limit = 100 } = options
  const batches: Replayed[] = []
  let after: Replayed['after'] = null
  do {
    const batch = await store.sent.replay(filter, { after, limit, asNew })
    batches.push(batch)
    after = batch.after
  } while (after !== null)
  return batches
}

const sum = (batches: readonly Replayed[], what: 'replayed' | 'known' | 'unroutable'): number =>
  batches.reduce((total, batch) => total + batch[what], 0)

describe('replaying what was sent', () => {
  test('writes messages under new numbers, each key in its old order, in batches', async () => {
    const street = await openStreet(url, store)
    const messages = Array.from({ length: 25 }, (_, i) => message(`k${i % 5}`, String(i)))
    const ids = await keep(street, ...messages)
    const { rows: before } = await client.query('select max(seq) as seq from waybill.sent')
    const batches = await replayAll({ channel: street.channel }, { limit: 4 })
    expect(batches.length).toBeGreaterThan(6)
    expect(sum(batches, 'replayed')).toBe(25)
    expect(await sent()).toEqual([])
    const { rows } = await client.query('select id, key, seq from waybill.outbox order by seq')
    expect(Number(rows[0].seq)).toBeGreaterThan(Number(before[0].seq))
    for (let k = 0; k < 5; k++) {
      const ofKey = rows.filter(({ key }) => key === `k${k}`).map(({ id }) => id)
      expect(ofKey).toEqual(ids.filter((_, i) => i % 5 === k))
    }
    expect(sum(await replayAll(), 'replayed')).toBe(0)
  })

  test('takes what the filter says', async () => {
    const street = await openStreet(url, store)
    const other = await openStreet(url, store)
    const ids = await keep(street, message('a'), message('b'))
    await keep(other, message('a'))
    await client.query(`update waybill.sent set sent_at = now() - interval '2 hours' where id = $1`, [ids[0]])
    const { count, now } = await store.sent.count({ channel: street.channel }, 100)
    expect(count).toBe(2)
    const hourAgo = new Date(now.getTime() - hour)
    expect((await store.sent.count({ since: hourAgo }, 100)).count).toBe(2)
    expect((await store.sent.count({ until: hourAgo }, 100)).count).toBe(1)
    expect((await store.sent.count({ key: 'a' }, 100)).count).toBe(2)
    expect((await store.sent.count({ key: 'a' }, 1)).count).toBe(1)
    await replayAll({ channel: street.channel, key: 'b', since: hourAgo })
    expect(await waiting()).toEqual([ids[1]])
  })

  test('keeps what another consumer has noted of it until that is as old again (G2)', async () => {
    const street = await openStreet(url, store, { consumers: ['a', 'b'] })
    const [id] = await publish(store, client, street.channel, message('k'))
    for (const consumer of ['a', 'b']) await deliver(await openDesk(store, street, consumer))
    await client.query(`delete from waybill.inbox where consumer = 'b'`)
    await client.query(`update waybill.inbox set processed_at = now() - interval '13 days'`)
    await replayAll()
    expect(await store.inbox.purge(7 * day, 100)).toBe(0)
    expect(await (await openDesk(store, street, 'a')).reader.read()).toEqual([])
    const { rows } = await client.query('select consumer, message_id as id from waybill.inbox')
    expect(rows).toEqual([{ consumer: 'a', id }])
  })

  test('gives it under its old id to the local consumer that lacks it, and leaves what all have', async () => {
    const street = await openStreet(url, store, { consumers: ['a', 'b'] })
    const ids = await publish(store, client, street.channel, message('k'), message('k'))
    for (const consumer of ['a', 'b']) await deliver(await openDesk(store, street, consumer))
    await client.query(`delete from waybill.inbox where consumer = 'b' and message_id = $1`, [ids[0]])
    expect(await replayAll()).toMatchObject([{ replayed: 1, known: 1 }])
    expect(await waiting()).toEqual([ids[0]])
    const read = async (consumer: string): Promise<number> =>
      (await (await openDesk(store, street, consumer)).reader.read()).length
    expect([await read('a'), await read('b')]).toEqual([0, 1])
  })

  test('makes copies with new ids that name the old ones, and keeps those', async () => {
    const street = await openStreet(url, store, { consumers: ['a'] })
    const [id] = await publish(store, client, street.channel, { ...message('k'), headers: { x: 'y' } })
    await deliver(await openDesk(store, street))
    expect(await replayAll({}, { asNew: true })).toMatchObject([{ replayed: 1 }])
    const { rows } = await client.query('select id, headers from waybill.outbox')
    expect(rows).toEqual([
      { id: expect.not.stringMatching(id!), headers: { x: 'y', 'waybill-replay-of': id } },
    ])
    expect(await sent()).toEqual([id])
  })

  test('leaves messages whose channel is gone or sends at most once now', async () => {
    const street = await openStreet(url, store)
    await keep(street, message('k'))
    await old(0)
    await client.query('update waybill.channels set retained = false where channel = $1', [street.channel])
    expect(await replayAll()).toMatchObject([{ replayed: 0, unroutable: 2 }])
    expect(await sent()).toHaveLength(2)
  })

  test('is done once by two at the same time', async () => {
    const street = await openStreet(url, store)
    const ids = await keep(street, ...Array.from({ length: 50 }, (_, i) => message(`k${i}`)))
    const other = openStore({ connectionString: url })
    const batch = { after: null, limit: 100, asNew: false }
    const [a, b] = await Promise.all([store.sent.replay({}, batch), other.sent.replay({}, batch)])
    expect(a.replayed + b.replayed).toBe(50)
    expect((await waiting()).toSorted()).toEqual(ids.toSorted())
  })

  test('waits for the lock of a key, and takes its number only then', async () => {
    const street = await openStreet(url, store)
    const [kept] = await keep(street, message('k'))
    const writer = await connect(url)
    await writer.query('begin')
    const fresh = message('k')
    await append(store, writer, street.channel, fresh)
    const replaying = replayAll()
    await untilPurposeWaits(client, 'replay')
    const late = message('k')
    await append(store, writer, street.channel, late)
    await writer.query('commit')
    await replaying
    expect(await waiting()).toEqual([fresh.id, late.id, kept])
  })
})
