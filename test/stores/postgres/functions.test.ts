import { beforeAll, describe, expect, test } from 'vitest'
import type pg from 'pg'
import fc from 'fast-check'
import type { Store } from '../../../src/ports/store.ts'
import { postgresDatabase } from '../../setup/servers.ts'
import {
  append,
  connect,
  message,
  openDesk,
  openStore,
  openStreet,
  publish,
  untilBlocked,
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

async function sql(channel: string, key: string | null, client: pg.Client = observer): Promise<string> {
  const { rows } = await client.query('select waybill.publish($1, $2, $3) as id', [channel, '{"n":1}', key])
  return rows[0].id
}

function literal(text: string): string {
  return `'${text.replaceAll("'", "''")}'`
}

async function places(channel: string): Promise<Map<string, Set<number>>> {
  const { rows } = await observer.query('select key, partition from waybill.outbox where channel = $1', [
    channel,
  ])
  const found = new Map<string, Set<number>>()
  for (const { key, partition } of rows) found.set(key, (found.get(key) ?? new Set()).add(partition))
  return found
}

describe('writers in SQL and in TypeScript', () => {
  test('put each key into the same partition, one message or many at a time', async () => {
    const { channel } = await openStreet(url, store, { partitions: 13 })
    const client = await connect(url)
    const keys = ['valueOf', 'NULL', 'ключ', '🚚', 'a"b', '{}', 'a,b', ' a ', 'tab\tline\n']
    const property = fc.asyncProperty(
      fc.string({ minLength: 1, maxLength: 40, unit: 'grapheme' }),
      async (key) => {
        if (key.includes('\0')) return
        await publish(store, client, channel, message(key))
        await publish(store, client, channel, message('other'), message(key))
        await sql(channel, key)
        await observer.query('select waybill.publish_bytes($1, $2, $3)', [
          channel,
          Buffer.from([0, 255]),
          key,
        ])
      },
    )
    await fc.assert(property, { numRuns: 40, examples: keys.map((key) => [key]) })
    const found = await places(channel)
    expect(found.size).toBeGreaterThan(20)
    for (const [key, partitions] of found) expect([key, partitions.size]).toEqual([key, 1])
    expect(new Set([...found.values()].flatMap((each) => [...each])).size).toBeGreaterThan(5)
  })

  test('wait for each other on one key, so that its numbers follow the commits (W10)', async () => {
    const { channel } = await openStreet(url, store)
    const writers: ((client: pg.Client) => Promise<unknown>)[] = [
      (client) => sql(channel, 'k', client),
      (client) => client.query('select waybill.publish_bytes($1, $2, $3)', [channel, Buffer.from('x'), 'k']),
      (client) => append(store, client, channel, message('k')),
      (client) => append(store, client, channel, message('k'), message('k')),
    ]
    for (const one of writers) {
      for (const other of writers) {
        const [first, second] = [await connect(url), await connect(url)]
        await first.query('begin')
        await second.query('begin')
        await one(first)
        const waiting = other(second)
        await untilBlocked(observer, second)
        await one(first)
        await first.query('commit')
        await waiting
        await second.query('commit')
      }
    }
    const { rows } = await observer.query(
      'select xid::text as xid from waybill.outbox where channel = $1 order by seq',
      [channel],
    )
    const runs = rows.filter((row, i) => row.xid !== rows[i - 1]?.xid)
    expect(runs).toHaveLength(2 * writers.length ** 2)
  })

  test('are both read as what they wrote', async () => {
    const street = await openStreet(url, store, { partitions: 1 })
    const { reader } = await openDesk(store, street)
    const id = await sql(street.channel, 'k')
    const headers = '{"traceparent": "00-1"}'
    await observer.query('select waybill.publish_bytes($1, $2, $3, $4, $5)', [
      street.channel,
      Buffer.from([0, 255, 128]),
      'k',
      headers,
      'application/x-thing',
    ])
    const rows = await reader.read()
    expect(rows[0]).toMatchObject({ id, key: 'k', contentType: 'application/json' })
    expect(JSON.parse(Buffer.from(rows[0]!.payload).toString())).toEqual({ n: 1 })
    expect(rows[1]).toMatchObject({ contentType: 'application/x-thing' })
    expect({ ...rows[1]!.headers }).toEqual({ traceparent: '00-1' })
    expect([...rows[1]!.payload]).toEqual([0, 255, 128])
  })
})

describe('publishing in SQL', () => {
  test('gives each message a UUIDv7 of now', async () => {
    const { channel } = await openStreet(url, store, { ordered: false })
    const before = Date.now()
    const ids = new Set<string>()
    for (let i = 0; i < 50; i++) ids.add(await sql(channel, null))
    expect(ids.size).toBe(50)
    for (const id of ids) {
      expect(id).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/u)
      const time = Number.parseInt(id.replaceAll('-', '').slice(0, 12), 16)
      expect(Math.abs(time - before)).toBeLessThan(60_000)
    }
  })

  test('spreads an unordered channel over its partitions and locks nothing', async () => {
    const { channel, partitions } = await openStreet(url, store, { ordered: false, partitions: 3 })
    const holder = await connect(url)
    await holder.query('begin')
    await sql(channel, 'k', holder)
    for (let i = 0; i < 60; i++) await sql(channel, 'k')
    const { rows } = await observer.query(
      'select distinct partition from waybill.outbox where channel = $1 order by 1',
      [channel],
    )
    expect(rows.map((row) => row.partition)).toEqual(partitions)
    await holder.query('rollback')
  })

  test('delays a message until the time given', async () => {
    const { channel } = await openStreet(url, store, { ordered: false })
    const at = "now() + interval '2 days'"
    await observer.query(`select waybill.publish('${channel}', '1', not_before => ${at})`)
    await observer.query(`select waybill.publish_bytes('${channel}', 'x', not_before => ${at})`)
    const { rows } = await observer.query(
      `select not_before > now() + interval '47 hours' as is_delayed from waybill.outbox where channel = $1`,
      [channel],
    )
    expect(rows).toEqual([{ is_delayed: true }, { is_delayed: true }])
    const { rows: shown } = await observer.query('select status from waybill.messages where type = $1', [
      channel,
    ])
    expect(shown).toEqual([{ status: 'delayed' }, { status: 'delayed' }])
  })

  test('refuses what could not be delivered, and writes nothing', async () => {
    const { channel } = await openStreet(url, store)
    const { channel: unordered } = await openStreet(url, store, { ordered: false })
    const call = (rest: string): Promise<unknown> => observer.query(`select waybill.publish${rest}`)
    const refused: [string, RegExp][] = [
      [`('no-such-channel', '1', 'k')`, /channel "no-such-channel" is not registered/u],
      [`(null, '1', 'k')`, /is not registered/u],
      [`('${channel}', '1')`, /is ordered: each of its messages needs a key/u],
      [`('${channel}', null, 'k')`, /needs a payload/u],
      [`_bytes('${channel}', null, 'k')`, /needs a payload/u],
      [`('${channel}', '1', 'k', '[]')`, /headers|non-object/u],
      [`('${channel}', '1', 'k', 'null')`, /headers/u],
      [`('${channel}', '1', 'k', null)`, /headers/u],
      [`('${channel}', '1', 'k', '{"a": 1}')`, /headers that are an object of texts/u],
      [`('${channel}', '1', 'k', '{"a": {"b": "c"}}')`, /headers that are an object of texts/u],
      ...[
        'ce_id',
        'CE-type',
        'waybill-id',
        'Content-Type',
        '__proto__',
        'a b',
        'ü',
        '',
        'x'.repeat(201),
        'a\n',
      ].map((name): [string, RegExp] => [
        `_bytes('${channel}', 'x', 'k', jsonb_build_object(${literal(name)}, 'v'))`,
        /a header's name has/u,
      ]),
      [`_bytes('${channel}', 'x', 'k', '{}', null)`, /needs a payload, a content type/u],
      [`('${channel}', '1', '')`, /a key has 1 to 1024 bytes; this one has 0/u],
      [`('${channel}', '1', repeat('ü', 513))`, /a key has 1 to 1024 bytes; this one has 1026/u],
      [
        `('${channel}', to_jsonb(repeat('x', 1000)), 'k')`,
        /takes \d+ bytes; its transport takes at most 1000/u,
      ],
      [`('${channel}', '1', 'k', not_before => now())`, /is ordered: none of its messages can be delayed/u],
      [`('${unordered}', '1', not_before => now() + interval '400 days')`, /366 days at most/u],
      [`('${unordered}', '1', not_before => 'infinity')`, /366 days at most/u],
      [`('${channel}', '1', repeat('k', 1000))`, /takes \d+ bytes/u],
      [`('${channel}', '1', 'k', jsonb_build_object('a', repeat('x', 1000)))`, /takes \d+ bytes/u],
    ]
    for (const [rest, reason] of refused) await expect(call(rest), rest).rejects.toThrow(reason)
    const { rows } = await observer.query('select 1 from waybill.outbox where channel = $1', [channel])
    expect(rows).toEqual([])
    await call(`('${channel}', to_jsonb(repeat('x', 900)), 'k')`)
    await call(
      `('${channel}', '1', 'k', '{"x.y-Z_9!#$%&''*+^|~": "", "traceparent": "00", "constructors": ""}')`,
    )
  })
})

describe('the view messages', () => {
  test('shows JSON as JSON, text as text, bytes as nothing, and fails on none of them', async () => {
    const { channel } = await openStreet(url, store, { ordered: false })
    const payloads: [Buffer, unknown][] = [
      [Buffer.from('{"a":[1,null]}'), { a: [1, null] }],
      [Buffer.from('"text"'), 'text'],
      [Buffer.from('no json'), 'no json'],
      [Buffer.from('{"a":'), '{"a":'],
      [Buffer.from('"\\u0000"'), '"\\u0000"'],
      [Buffer.from('"\\ud800"'), '"\\ud800"'],
      [Buffer.from([0xff, 0xfe]), null],
      [Buffer.from([0x61, 0x00]), null],
      [Buffer.from(''), ''],
      [Buffer.from('['.repeat(20_000)), '['.repeat(20_000)],
      [Buffer.from('1e400000'), '1e400000'],
    ]
    for (const [payload, shown] of payloads) {
      const given = { ...message(null), payload }
      await publish(store, observer, channel, given)
      const { rows } = await observer.query('select * from waybill.messages where id = $1', [given.id])
      expect(rows, payload.toString('hex').slice(0, 40)).toEqual([
        {
          id: given.id,
          type: channel,
          key: null,
          payload: shown,
          status: 'pending',
          timestamp: expect.any(Date),
        },
      ])
    }
  })

  test('never fails, whatever the bytes', async () => {
    const property = fc.asyncProperty(fc.uint8Array({ maxLength: 60 }), async (bytes) => {
      await observer.query('select waybill.readable($1)', [Buffer.from(bytes)])
    })
    await fc.assert(property, { numRuns: 100 })
  })

  test('shows how each message fares', async () => {
    const street = await openStreet(url, store, { partitions: 1 })
    const desk = await openDesk(store, street)
    const [pending, retrying, dead, delayed] = await publish(
      store,
      observer,
      street.channel,
      ...['a', 'b', 'c', 'd'].map((key) => message(key)),
    )
    const rows = await desk.reader.read()
    const failure = { epoch: desk.epoch(street.first), attempts: 1, errorCode: 'E', error: 'e' }
    await desk.outbox.block([{ ...rows[1]!, ...failure, retryInMs: 1000 }])
    await desk.outbox.bury([{ ...rows[2]!, ...failure, reason: 'rejected' }])
    await observer.query(`update waybill.outbox set not_before = now() + interval '1 hour' where id = $1`, [
      delayed,
    ])
    const { rows: shown } = await observer.query('select id, status from waybill.messages where type = $1', [
      street.channel,
    ])
    expect(Object.fromEntries(shown.map((row) => [row.id, row.status]))).toEqual({
      [pending!]: 'pending',
      [retrying!]: 'retrying',
      [dead!]: 'dead',
      [delayed!]: 'delayed',
    })
  })
})
