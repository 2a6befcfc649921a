import type pg from 'pg'
import { afterEach, beforeAll, describe, expect, test } from 'vitest'
import { createCleanupDesk } from '../../../src/app/cleanup.ts'
import { systemClock } from '../../../src/kernel/clock.ts'
import { newMessageId } from '../../../src/kernel/ids.ts'
import { headersFrom } from '../../../src/kernel/message.ts'
import type { Store } from '../../../src/ports/store.ts'
import { pgExecutor } from '../../../src/transactions/pg.ts'
import { postgresDatabase } from '../../setup/servers.ts'
import {
  connect,
  idsOf,
  message,
  openDesk,
  openStore,
  openStreet,
  publish,
  untilPurposeWaits,
} from './support.ts'

const hour = 3_600_000
const day = 24 * hour

let url: string
let store: Store
let observer: pg.Client

beforeAll(async () => {
  ;({ url } = await postgresDatabase())
  store = openStore({ connectionString: url })
  await store.schema.migrate()
  observer = await connect(url)
})

afterEach(async () => {
  await observer.query(
    'truncate waybill.inbox, waybill.attempts, waybill.outbox, waybill.dead, waybill.losses',
  )
})

function ids(count: number): string[] {
  return Array.from({ length: count }, newMessageId)
}

/** Inbox rows of that age. */
async function handled(consumer: string, ageMs: number, ...messages: string[]): Promise<void> {
  await observer.query(
    `insert into waybill.inbox (consumer, message_id, processed_at)
     select $1, i, now() - $2 * interval '1 ms' from unnest($3::uuid[]) i`,
    [consumer, ageMs, messages],
  )
}

async function noted(consumer: string): Promise<string[]> {
  const { rows } = await observer.query(
    'select message_id as id from waybill.inbox where consumer = $1 order by message_id',
    [consumer],
  )
  return idsOf(rows)
}

/** Makes what waits look as old as that. */
async function age(channel: string, ageMs: number): Promise<void> {
  await observer.query(
    `update waybill.outbox set created_at = now() - $2 * interval '1 ms' where channel = $1`,
    [channel, ageMs],
  )
}

async function purgeAll(olderThanMs: number): Promise<number> {
  let sum = 0
  for (let purged = 1; purged > 0; sum += purged) purged = await store.inbox.purge(olderThanMs, 100)
  return sum
}

describe('purging the inbox', () => {
  test('deletes what is past its window by the clock of the database, at most so many at once, the oldest first', async () => {
    const [young, old, oldest] = [ids(5), ids(3), ids(4)]
    await handled('windows', 2 * day, ...old)
    await handled('windows', day - hour, ...young)
    await handled('windows', 3 * day, ...oldest)
    expect(await store.inbox.purge(day, 0)).toBe(0)
    expect(await store.inbox.purge(day, 4)).toBe(4)
    expect(await noted('windows')).toEqual([...young, ...old].toSorted())
    expect(await store.inbox.purge(day, 4)).toBe(3)
    expect(await store.inbox.purge(day, 4)).toBe(0)
    expect(await noted('windows')).toEqual(young.toSorted())
  })

  test('counts the window from when the message was handled', async () => {
    const [id] = ids(1)
    const client = await connect(url)
    await client.query('begin')
    await store.inbox.admit(pgExecutor(client), 'now', [id!])
    await client.query('commit')
    expect(await store.inbox.purge(day, 100)).toBe(0)
    expect(await noted('now')).toEqual([id])
  })

  test('keeps what is still to be delivered: to others, or again (G2)', async () => {
    const street = await openStreet(url, store, { consumers: ['fast', 'slow'], partitions: 2 })
    const waiting = await publish(
      store,
      observer,
      street.channel,
      ...Array.from({ length: 20 }, (_, i) => message(`k${i}`)),
    )
    await age(street.channel, 30 * day)
    const free = ids(20)
    await handled('fast', 20 * day, ...waiting, ...free)
    expect(await purgeAll(day)).toBe(20)
    expect(await noted('fast')).toEqual(waiting.toSorted())
    // Delivered to the last one, they are free; but only after another window, for they were put off.
    await observer.query('delete from waybill.outbox where channel = $1', [street.channel])
    expect(await purgeAll(day)).toBe(0)
    await observer.query(
      `update waybill.inbox set processed_at = now() - interval '2 days' where consumer = 'fast'`,
    )
    expect(await purgeAll(day)).toBe(20)
  })

  test('keeps what a message waits for behind others of its age, however the numbers lie', async () => {
    const street = await openStreet(url, store, { partitions: 1 })
    const all = await publish(
      store,
      observer,
      street.channel,
      ...Array.from({ length: 12 }, (_, i) => message(`k${i}`)),
    )
    // Every other one is younger than the window, by less than clocks and writers may differ.
    await observer.query(
      `update waybill.outbox set created_at = now() - interval '1 day'
         + case when seq % 2 = 0 then interval '5 min' else interval '-5 min' end where channel = $1`,
      [street.channel],
    )
    await handled('mixed', day + 1000, ...all)
    expect(await purgeAll(day)).toBe(0)
    expect(await noted('mixed')).toEqual(all.toSorted())
  })

  test('where too many wait to look at each, keeps all that was handled since the oldest of them', async () => {
    const street = await openStreet(url, store, { partitions: 1 })
    await observer.query(
      `insert into waybill.outbox (partition, id, channel, key, payload)
       select $1, gen_random_uuid(), $2, 'k' || g, 'x' from generate_series(1, 2500) g`,
      [street.first, street.channel],
    )
    await age(street.channel, 10 * day)
    const { rows } = await observer.query(
      'select id from waybill.outbox where channel = $1 order by seq desc limit 3',
      [street.channel],
    )
    const [before, after] = [ids(3), ids(3)]
    await handled('crowd', 11 * day, ...before)
    await handled('crowd', 9 * day, ...after, ...idsOf(rows))
    expect(await purgeAll(day)).toBe(3)
    expect(await noted('crowd')).toEqual([...after, ...idsOf(rows)].toSorted())
    await observer.query('delete from waybill.outbox where channel = $1', [street.channel])
    expect(await purgeAll(day)).toBe(6)
  })

  test('is not held up by messages that are delayed: nobody has had them', async () => {
    const street = await openStreet(url, store, { partitions: 1 })
    const [delayed, waiting] = await publish(store, observer, street.channel, message('a'), message('b'))
    await age(street.channel, 10 * day)
    await observer.query(`update waybill.outbox set not_before = now() + interval '1 day' where id = $1`, [
      delayed,
    ])
    const free = ids(2)
    await handled('delays', 2 * day, waiting!, ...free)
    expect(await purgeAll(day)).toBe(2)
    expect(await noted('delays')).toEqual([waiting])
  })

  test('keeps what has a line or a dead letter of that consumer, and not that of another', async () => {
    const street = await openStreet(url, store, { consumers: ['lined', 'letters'], partitions: 1 })
    const desk = await openDesk(store, street)
    const [blocked] = await publish(store, observer, street.channel, message('a'))
    const [row] = await desk.reader.read()
    const failure = { epoch: desk.epoch(street.first), attempts: 1, retryInMs: 0, errorCode: 'E', error: 'e' }
    await desk.outbox.block([{ ...row!, ...failure }])
    await observer.query('delete from waybill.outbox where id = $1', [blocked])
    const [dead] = ids(1)
    const envelope = { id: dead!, channel: street.channel, key: 'k', payload: Buffer.from('x') }
    const rest = { contentType: 'a/b', headers: headersFrom([]), createdAt: new Date() }
    const why = { attempts: 1, reason: 'unreadable', errorCode: 'E', error: 'e' } as const
    expect(await store.inbox.bury('letters', { envelope: { ...envelope, ...rest }, ...why })).toBe(true)
    await observer.query(
      `update waybill.inbox set processed_at = now() - interval '2 days' where message_id = $1`,
      [dead],
    )
    await handled('letters', 2 * day, blocked!)
    await handled('lined', 2 * day, blocked!, dead!)
    expect(await purgeAll(day)).toBe(2)
    expect(await noted('letters')).toEqual([dead])
    expect(await noted('lined')).toEqual([blocked])
  })

  test('passes what it must keep once, and then no later batch has it in its way', async () => {
    const [kept, free] = [ids(250), ids(10)]
    await handled('way', 3 * day, ...kept)
    await handled('way', 2 * day, ...free)
    await observer.query(
      `insert into waybill.dead (consumer, id, channel, payload, content_type, headers, created_at, attempts, reason, error_code, error)
       select 'way', i, 'c', 'x', 'a/b', '{}', now(), 1, 'rejected', 'E', 'e' from unnest($1::uuid[]) i`,
      [kept],
    )
    // Fewer at a time than must be kept: 0 would say that nothing is left.
    expect(await store.inbox.purge(day, 100)).toBe(10)
    expect(await noted('way')).toEqual(kept.toSorted())
    const { rows } = await observer.query(
      `select count(*)::int as old from waybill.inbox where consumer = 'way' and processed_at < now() - interval '1 day'`,
    )
    expect(rows).toEqual([{ old: 0 }])
  })

  test('is done by one at a time: another gets 0 meanwhile, and waits for nobody (G1)', async () => {
    const { url: own } = await postgresDatabase()
    const [one, two] = [openStore({ connectionString: own }), openStore({ connectionString: own })]
    await one.schema.migrate()
    const client = await connect(own)
    // A gate before which the first one stands, in the middle of its batch.
    await client.query(`
      create function gate() returns trigger language plpgsql as $$ begin
        perform pg_advisory_xact_lock(1); return old; end $$;
      create trigger gate before delete on waybill.inbox for each row execute function gate();
      insert into waybill.inbox select 'c', gen_random_uuid(), now() - interval '2 days' from generate_series(1, 20)`)
    const holder = await connect(own)
    await holder.query('begin; select pg_advisory_xact_lock(1)')
    const first = one.inbox.purge(day, 15)
    await untilPurposeWaits(client, 'cleanup')
    expect(await two.inbox.purge(day, 15)).toBe(0)
    await holder.query('commit')
    expect(await first).toBe(15)
    expect(await two.inbox.purge(day, 15)).toBe(5)
  })

  test('passes rows by that somebody holds', async () => {
    const [held, free] = ids(2)
    await handled('holder', 2 * day, held!, free!)
    const holder = await connect(url)
    await holder.query('begin')
    await holder.query('select 1 from waybill.inbox where message_id = $1 for update', [held])
    await purgeAll(day)
    expect(await noted('holder')).toEqual([held])
    await holder.query('commit')
    expect(await purgeAll(day)).toBe(1)
  })

  test('lets go of old starts that nothing refers to, and of no others', async () => {
    const street = await openStreet(url, store, { partitions: 1 })
    const [waiting] = await publish(store, observer, street.channel, message('a'))
    await age(street.channel, 10 * day)
    const [old, again, young] = ids(3) as [string, string, string]
    for (const id of [old, again, young, waiting!]) await store.inbox.countStart('starter', id)
    await observer.query(
      `update waybill.attempts set counted_at = now() - interval '2 days' where message_id = any($1)`,
      [[old, again, waiting]],
    )
    expect(await store.inbox.countStart('starter', again)).toBe(2)
    await store.inbox.purge(day, 100)
    const { rows } = await observer.query(
      `select message_id as id from waybill.attempts where consumer = 'starter'`,
    )
    expect(idsOf(rows).toSorted()).toEqual([again, young, waiting].toSorted())
  })
})

describe('a cleanup', () => {
  test('goes on past batches with rows that it must keep, for the inbox and for counted starts', async () => {
    const [needed] = ids(1)
    await handled('many', 3 * day, needed!)
    await observer.query(
      `insert into waybill.dead (consumer, id, channel, payload, content_type, headers, created_at, attempts, reason, error_code, error)
       values ('many', $1, 'c', 'x', 'a/b', '{}', now(), 1, 'rejected', 'E', 'e')`,
      [needed],
    )
    await observer.query(`
      insert into waybill.inbox (consumer, message_id, processed_at)
        select 'many', gen_random_uuid(), now() - interval '2 days' from generate_series(1, 10000);
      insert into waybill.attempts (consumer, message_id, starts, counted_at)
        select 'many', gen_random_uuid(), 1, now() - interval '2 days' from generate_series(1, 20001)`)
    const desk = createCleanupDesk(() => store, { inboxRetentionMs: day, retainMs: 0 }, systemClock)
    expect(await desk.run()).toMatchObject({ inbox: 10_000 })
    expect(await noted('many')).toEqual([needed])
    const { rows } = await observer.query('select count(*)::int as count from waybill.attempts')
    expect(rows).toEqual([{ count: 0 }])
  })
})

describe('counting what a consumer lost', () => {
  test('adds by channel, consumer and cause, and keeps the last of each', async () => {
    const [a, b, c] = ids(3) as [string, string, string]
    const loss = { channel: 'lossy', cause: 'handler-failed', code: 'ONE' } as const
    await store.inbox.countLosses('loser', [
      { ...loss, id: a },
      { ...loss, id: b, code: 'TWO' },
    ])
    await store.inbox.countLosses('loser', [{ ...loss, id: c, cause: 'process-ended' }])
    await store.inbox.countLosses('other', [{ ...loss, id: a }])
    await store.inbox.countLosses('loser', [{ ...loss, id: c, code: 'THREE' }])
    await store.inbox.countLosses('loser', [])
    const { rows } = await observer.query(
      `select consumer, cause, count::int as count, last_id, last_code from waybill.losses order by 1, 2`,
    )
    expect(rows).toEqual([
      { consumer: 'loser', cause: 'handler-failed', count: 3, last_id: c, last_code: 'THREE' },
      { consumer: 'loser', cause: 'process-ended', count: 1, last_id: c, last_code: 'ONE' },
      { consumer: 'other', cause: 'handler-failed', count: 1, last_id: a, last_code: 'ONE' },
    ])
  })

  test('of many at once loses no count, and never deadlocks', async () => {
    const causes = ['not-sent', 'handler-failed', 'process-ended'] as const
    const channels = ['x', 'y', 'z']
    const losses = channels.flatMap((channel) =>
      causes.map((cause) => ({ channel, cause, id: newMessageId(), code: 'E' })),
    )
    const stores = Array.from({ length: 4 }, () => openStore({ connectionString: url }))
    await Promise.all(
      stores.flatMap((each, i) =>
        Array.from({ length: 10 }, () =>
          each.inbox.countLosses('many', i % 2 === 0 ? losses : losses.toReversed()),
        ),
      ),
    )
    const { rows } = await observer.query(
      `select count::int as count from waybill.losses where consumer = 'many'`,
    )
    expect(rows).toEqual(losses.map(() => ({ count: 40 })))
  })
})
