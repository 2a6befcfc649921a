import { beforeAll, describe, expect, test } from 'vitest'
import type pg from 'pg'
import type { Delay, NewMessage } from '../../../src/ports/outbox-writer.ts'
import type { Store } from '../../../src/ports/store.ts'
import { pgExecutor } from '../../../src/transactions/pg.ts'
import { postgresDatabase } from '../../setup/servers.ts'
import { append, connect, message, openStore, openStreet, publish, untilBlocked } from './support.ts'

let url: string
let store: Store
let observer: pg.Client

beforeAll(async () => {
  ;({ url } = await postgresDatabase())
  store = openStore({ connectionString: url })
  await store.schema.migrate()
  observer = await connect(url)
})

async function seqOf(id: string): Promise<bigint> {
  const { rows } = await observer.query('select seq from waybill.outbox where id = $1', [id])
  return BigInt(rows[0].seq)
}

describe('appending', () => {
  test('numbers many messages in the order given, in one statement, in one partition for one key (W8)', async () => {
    const { channel } = await openStreet(url, store)
    const client = await connect(url)
    const given = Array.from({ length: 300 }, (_, i) => message(`key-${(i * 7) % 3}`))
    const ids = await publish(store, client, channel, ...given)
    const { rows } = await observer.query(
      'select id, key, partition, xid::text from waybill.outbox where channel = $1 order by seq',
      [channel],
    )
    expect(rows.map((row) => row.id)).toEqual(ids)
    expect(new Set(rows.map((row) => row.xid)).size).toBe(1)
    expect(new Set(rows.map((row) => `${row.key} ${row.partition}`)).size).toBe(3)
  })

  test.for([1, 2])('stores odd texts, bytes and an empty payload exactly, %i in one call', async (count) => {
    const { channel } = await openStreet(url, store)
    const client = await connect(url)
    const texts = [
      'NULL',
      '{}',
      '"',
      '\\',
      "'; --",
      'a,b',
      ' ',
      'tab\t\n',
      'ключ 漢 🚚 \u0301',
      '$1',
      '\\x00',
    ]
    for (const [i, text] of texts.entries()) {
      const payload = i % 2 === 0 ? new Uint8Array() : Uint8Array.from({ length: 256 }, (_, byte) => byte)
      // A view into a larger buffer, as drivers and codecs hand them out.
      const view = new Uint8Array([7, 7, ...payload, 7]).subarray(2, 2 + payload.length)
      const given = Array.from({ length: count }, () => ({
        ...message(text),
        payload: view,
        contentType: text,
        headers: { [text]: text },
      }))
      const ids = await publish(store, client, channel, ...given)
      const { rows } = await observer.query('select * from waybill.outbox where id = any($1) order by seq', [
        ids,
      ])
      expect(rows.map(({ id }) => id)).toEqual(ids)
      for (const row of rows) {
        expect(row).toMatchObject({ key: text, content_type: text, headers: { [text]: text } })
        expect(row.payload.equals(Buffer.from(payload))).toBe(true)
      }
    }
  })

  test('returns the id of the transaction, by which its outcome can be asked for later', async () => {
    const { channel } = await openStreet(url, store)
    const client = await connect(url)
    await client.query('begin')
    const xid = await append(store, client, channel, message('k'))
    const status = async (): Promise<string> =>
      (await observer.query('select pg_xact_status($1::xid8) as status', [xid])).rows[0].status
    expect(await status()).toBe('in progress')
    await client.query('commit')
    expect(await status()).toBe('committed')
  })

  test('uses every partition of an unordered channel, keys or not, and only those of its transport', async () => {
    const { channel, partitions } = await openStreet(url, store, { ordered: false, partitions: 3 })
    const client = await connect(url)
    await publish(
      store,
      client,
      channel,
      ...Array.from({ length: 200 }, (_, i) => message(i % 2 ? 'one' : null)),
    )
    const { rows } = await observer.query(
      'select distinct partition from waybill.outbox where channel = $1 order by 1',
      [channel],
    )
    expect(rows.map((row) => row.partition)).toEqual(partitions)
  })
})

describe('a delay', () => {
  const append = (client: pg.Client, channel: string, count: number, delay: Delay): Promise<unknown> =>
    store.writer.append(
      pgExecutor(client),
      channel,
      Array.from({ length: count }, () => message(null)),
      delay,
    )

  test.for([1, 3])(
    'ends by the clock of the database, for all messages of a call alike: %i of them',
    async (count) => {
      const { channel } = await openStreet(url, store, { ordered: false })
      const client = await connect(url)
      // The session's time zone is nothing to a moment.
      await client.query("set timezone to 'Asia/Kolkata'")
      const at = new Date('2026-12-24T18:00:00.123Z')
      await client.query('begin')
      await append(client, channel, count, { at })
      await append(client, channel, count, { ms: 3_600_000 })
      await client.query('commit')
      const { rows } = await observer.query(
        `select not_before, extract(epoch from not_before - created_at) as delay from waybill.outbox
       where channel = $1 order by seq`,
        [channel],
      )
      expect(rows).toHaveLength(2 * count)
      for (const row of rows.slice(0, count)) expect(row.not_before).toEqual(at)
      for (const row of rows.slice(count)) {
        expect(row.not_before).toEqual(rows.at(-1).not_before)
        expect(Math.abs(Number(row.delay) - 3600)).toBeLessThan(5)
      }
    },
  )

  test.for([1, 2])(
    'is refused on what is registered as ordered, and where it is too long: %i in a call',
    async (count) => {
      const client = await connect(url)
      for (const [street, delay, code] of [
        [await openStreet(url, store), { ms: 1 }, 'WB_GUARANTEE_UNSUPPORTED'],
        [
          await openStreet(url, store, { ordered: false }),
          { at: new Date('2999-01-01') },
          'WB_INVALID_OPTION',
        ],
        [await openStreet(url, store, { ordered: false }), { ms: 367 * 86_400_000 }, 'WB_INVALID_OPTION'],
      ] as const) {
        const messages = Array.from({ length: count }, () => message('refused'))
        await client.query('begin')
        await expect(
          store.writer.append(pgExecutor(client), street.channel, messages, delay),
        ).rejects.toMatchObject({
          code,
          message: expect.stringContaining(street.channel),
        })
        await client.query('rollback')
      }
      const { rows } = await observer.query(`select 1 from waybill.outbox where key = 'refused'`)
      expect(rows).toEqual([])
    },
  )
})

describe('the order of numbers per key', () => {
  test('is the order of commits: a second writer of the key gets its number after the first has ended (W10)', async () => {
    const { channel } = await openStreet(url, store)
    const [first, second] = [await connect(url), await connect(url)]
    await first.query('begin')
    await second.query('begin')
    await append(store, first, channel, message('k'))
    const [b, a] = [message('k'), message('k')]
    const waiting = append(store, second, channel, b)
    await untilBlocked(observer, second)
    // Written while the other one waits already, and it must still be numbered before it.
    await append(store, first, channel, a)
    await first.query('commit')
    await waiting
    await second.query('commit')
    expect(await seqOf(b.id)).toBeGreaterThan(await seqOf(a.id))
  })

  test.for([1, 2])(
    'comes of the order in a statement: the transaction’s id, the key’s lock, the number; %i in a call',
    async (count) => {
      const { channel } = await openStreet(url, store)
      const [first, second] = [await connect(url), await connect(url)]
      const messages = (key: string): NewMessage[] => Array.from({ length: count }, () => message(key))
      const lastSeq = async (): Promise<string> => {
        const text = 'select last_value as n from pg_sequences where schemaname = $1 and sequencename = $2'
        return (await observer.query(text, ['waybill', 'outbox_seq_seq'])).rows[0].n
      }
      // The plan that a session keeps is another one than those of its first calls: each must have the order.
      for (let warm = 0; warm < 9; warm++) {
        await first.query('begin')
        await append(store, first, channel, message('k'))
        await second.query('begin')
        const before = await lastSeq()
        const waiting = append(store, second, channel, ...messages('k'))
        await untilBlocked(observer, second)
        const { rows } = await observer.query(
          'select backend_xid is not null as has_id from pg_stat_activity where pid = $1',
          [(second as unknown as { processID: number }).processID],
        )
        expect(rows).toEqual([{ has_id: true }])
        expect(await lastSeq()).toBe(before)
        await first.query('commit')
        await waiting
        await second.query('commit')
        expect(BigInt(await lastSeq()) - BigInt(before)).toBe(BigInt(count))
      }
    },
  )

  test('costs writers of other keys nothing', async () => {
    const { channel } = await openStreet(url, store)
    const [first, second] = [await connect(url), await connect(url)]
    await first.query('begin')
    await append(store, first, channel, message('k'))
    await publish(store, second, channel, message('other'))
    await first.query('rollback')
  })

  test('takes no key lock on an unordered channel', async () => {
    const { channel } = await openStreet(url, store, { ordered: false })
    const [first, second] = [await connect(url), await connect(url)]
    await first.query('begin')
    await append(store, first, channel, message('k'))
    await publish(store, second, channel, message('k'))
    await first.query('rollback')
  })

  test('takes key locks sorted, so calls with the same keys in other orders do not deadlock', async () => {
    const { channel } = await openStreet(url, store)
    const keys = Array.from({ length: 30 }, (_, i) => `key-${i}`)
    const writers = await Promise.all(Array.from({ length: 6 }, () => connect(url)))
    let turn = 0
    await Promise.all(
      writers.map(async (client) => {
        for (let round = 0; round < 20; round++) {
          const shift = turn++ % keys.length
          const shifted = [...keys.slice(shift), ...keys.slice(0, shift)]
          await publish(
            store,
            client,
            channel,
            ...(turn % 2 ? shifted : shifted.toReversed()).map((k) => message(k)),
          )
        }
      }),
    )
    const { rows } = await observer.query('select count(*) as n from waybill.outbox where channel = $1', [
      channel,
    ])
    expect(Number(rows[0].n)).toBe(6 * 20 * 30)
  })

  test('reports a deadlock across calls as a conflict that may be tried again', async () => {
    const { channel } = await openStreet(url, store)
    const [first, second] = [await connect(url), await connect(url)]
    for (const client of [first, second]) await client.query(`begin; set local deadlock_timeout = '100ms'`)
    await append(store, first, channel, message('a'))
    await append(store, second, channel, message('b'))
    const outcomes = await Promise.allSettled([
      append(store, first, channel, message('b')),
      (async () => {
        try {
          await append(store, second, channel, message('a'))
        } finally {
          await second.query('rollback')
        }
      })(),
    ])
    const failures = outcomes.filter((each) => each.status === 'rejected').map((each) => each.reason)
    expect(failures.length).toBeGreaterThan(0)
    expect(failures[0]).toMatchObject({ code: 'WB_STORE_CONFLICT', retryable: 'yes' })
    await first.query('rollback')
  })

  test.for([1, 2])(
    'waits for a key lock only as long as the transaction allows, %i in one call',
    async (count) => {
      const { channel } = await openStreet(url, store)
      const [first, second] = [await connect(url), await connect(url)]
      await first.query('begin')
      await append(store, first, channel, message('k'))
      await second.query(`begin; set local lock_timeout = '50ms'`)
      const refused = append(store, second, channel, ...Array.from({ length: count }, () => message('k')))
      await expect(refused).rejects.toMatchObject({ code: 'WB_STORE_CONFLICT', retryable: 'yes' })
      await second.query('rollback')
      await first.query('rollback')
    },
  )

  test('holds its key locks to the end of the transaction, past a savepoint that was rolled back', async () => {
    const { channel } = await openStreet(url, store)
    const [first, second] = [await connect(url), await connect(url)]
    await first.query('begin')
    await append(store, first, channel, message('k'))
    await first.query('savepoint s')
    await append(store, first, channel, message('k'))
    await first.query('rollback to s')
    await second.query('begin')
    const waiting = append(store, second, channel, message('k'))
    await untilBlocked(observer, second)
    await first.query('commit')
    await waiting
    await second.query('commit')
  })
})

describe('what is refused', () => {
  test.for([1, 2])(
    'an unknown channel, and the transaction cannot commit without them, %i in one call',
    async (count) => {
      const client = await connect(url)
      await client.query('begin')
      const messages = Array.from({ length: count }, () => message('k'))
      await expect(append(store, client, 'no-such-channel', ...messages)).rejects.toMatchObject({
        code: 'WB_UNKNOWN_CHANNEL',
      })
      expect((await client.query('commit')).command).toBe('ROLLBACK')
    },
  )

  test('a missing key on an ordered channel, without showing the payload anywhere', async () => {
    const { channel } = await openStreet(url, store)
    const client = await connect(url)
    await client.query('begin')
    const error = await append(store, client, channel, message(null, 'secret')).catch((e: unknown) => e)
    expect(error).toMatchObject({ code: 'WB_KEY_REQUIRED' })
    expect(JSON.stringify(error, Object.getOwnPropertyNames(error))).not.toContain(
      Buffer.from('secret').toString('hex'),
    )
    await client.query('rollback')
  })

  test('more than 1000 keys in one call, before anything was asked of the database', async () => {
    const { channel } = await openStreet(url, store)
    const client = await connect(url)
    await client.query('begin')
    const many = Array.from({ length: 1001 }, (_, i) => message(`key-${i}`))
    await expect(append(store, client, channel, ...many)).rejects.toMatchObject({ code: 'WB_TOO_MANY_KEYS' })
    await append(store, client, channel, ...many.slice(1))
    await client.query('commit')
  })

  test('a database without the schema', async () => {
    const empty = await postgresDatabase()
    const client = await connect(empty.url)
    await client.query('begin')
    await expect(append(store, client, 'channel', message('k'))).rejects.toMatchObject({
      code: 'WB_SCHEMA_MISSING',
    })
    await client.query('rollback')
  })
})

describe('an INSERT by hand', () => {
  test('has its transaction id before its number', async () => {
    const { first } = await openStreet(url, store)
    const { rows } = await observer.query(
      `select string_agg(attname, ',' order by attnum) as columns from pg_attribute
       where attrelid = 'waybill.outbox'::regclass and attname in ('xid', 'seq')`,
    )
    expect(rows[0].columns).toBe('xid,seq')
    const inserted = await observer.query(
      `insert into waybill.outbox (partition, id, channel, payload) values ($1, gen_random_uuid(), 'by-hand', '')
       returning xid = pg_current_xact_id_if_assigned() as same, seq`,
      [first],
    )
    expect(inserted.rows[0].same).toBe(true)
  })
})
