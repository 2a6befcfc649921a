import { describe, expect, test } from 'vitest'
import fc from 'fast-check'
import type { ChannelRegistration } from '../../../src/ports/schema.ts'
import { postgresStore } from '../../../src/postgres.ts'
import { quoteSchema } from '../../../src/stores/postgres/quote.ts'
import { postgresDatabase } from '../../setup/servers.ts'
import { shape } from './shape.ts'
import { connect, message, openStore, publish, untilPurposeWaits } from './support.ts'

const orders: ChannelRegistration = {
  channel: 'orders',
  transport: 'kafka',
  address: 'orders-topic',
  ordered: true,
  maxBytes: 1000,
}

describe('tables', () => {
  test('whose rows go or change say themselves when they are vacuumed, by counts and not by shares (G4)', async () => {
    const { url } = await postgresDatabase()
    await openStore({ connectionString: url }).schema.migrate()
    const client = await connect(url)
    // Written when a service is released, and never large.
    const still = ['identity', 'transports', 'channels', 'subscriptions', 'layouts', 'migrations']
    const { rows } = await client.query(
      `select relname as name from pg_class where relnamespace = 'waybill'::regnamespace and relkind = 'r'
         and relname <> all($1) and not coalesce(reloptions @> '{autovacuum_vacuum_scale_factor=0}', false)`,
      [still],
    )
    expect(rows).toEqual([])
  })
})

describe('migrating', () => {
  test('brings an empty database to the newest version, and a second time changes nothing', async () => {
    const { url } = await postgresDatabase()
    const store = openStore({ connectionString: url })
    const client = await connect(url)
    await expect(store.schema.check()).rejects.toMatchObject({ code: 'WB_SCHEMA_MISSING' })
    expect(await store.schema.migrate()).toEqual([1])
    const first = await shape(client, 'waybill')
    expect(first.length).toBeGreaterThan(100)
    expect(await store.schema.check()).toEqual({ found: 1, known: 1, oldestCode: 1 })
    await store.schema.register([orders], [], 4)
    const ids = await publish(store, client, 'orders', message('k'))
    expect(await store.schema.migrate()).toEqual([])
    expect(await shape(client, 'waybill')).toEqual(first)
    const { rows } = await client.query('select id from waybill.outbox')
    expect(rows.map(({ id }) => id)).toEqual(ids)
  })

  test('is done by one of ten that start at once, and all of them can go on (G5)', async () => {
    const { url } = await postgresDatabase()
    const stores = Array.from({ length: 10 }, () => openStore({ connectionString: url }))
    const applied = await Promise.all(
      stores.map(async (store) => {
        const versions = await store.schema.migrate()
        await store.schema.check()
        await store.schema.register([orders], [{ consumer: 'c', channels: ['orders'] }], 4)
        return versions
      }),
    )
    expect(applied.flat()).toEqual([1])
    const { rows } = await (await connect(url)).query('select count(*)::int as n from waybill.partitions')
    expect(rows[0].n).toBe(8)
  })

  test('by hand, from what print gives, is the same, and the code runs on it', async () => {
    const { url } = await postgresDatabase()
    const client = await connect(url)
    const store = openStore({ connectionString: url })
    const other = openStore({ connectionString: url, schema: 'other_1' })
    await client.query(other.schema.print())
    expect(await other.schema.check()).toMatchObject({ found: 1 })
    expect(await other.schema.migrate()).toEqual([])
    await store.schema.migrate()
    expect(await shape(client, 'other_1')).toEqual(await shape(client, 'waybill'))
    await other.schema.register([orders], [], 4)
    await publish(other, client, 'orders', message('k'))
    const counts =
      'select (select count(*) from waybill.outbox)::int as a, (select count(*) from other_1.outbox)::int as b'
    expect((await client.query(counts)).rows).toEqual([{ a: 0, b: 1 }])
  })

  test('that fails half way leaves nothing', async () => {
    const { url } = await postgresDatabase()
    const client = await connect(url)
    await client.query('create schema waybill; create view waybill.messages as select 1 as one')
    const store = openStore({ connectionString: url })
    await expect(store.schema.migrate()).rejects.toMatchObject({ code: 'WB_STORE_FAILED' })
    const { rows } = await client.query(`select tablename from pg_tables where schemaname = 'waybill'`)
    expect(rows).toEqual([])
    await client.query('drop view waybill.messages')
    expect(await store.schema.migrate()).toEqual([1])
  })
})

describe('checking', () => {
  test('refuses a schema that is older than this code', async () => {
    const { url } = await postgresDatabase()
    const store = openStore({ connectionString: url })
    await store.schema.migrate()
    // A number below the first one stands for an older version: this code knows none before it yet.
    await (await connect(url)).query('update waybill.migrations set version = -1')
    await expect(store.schema.check()).rejects.toMatchObject({ code: 'WB_SCHEMA_OUTDATED' })
  })

  test('refuses a schema that says this code is too old, also in migrate; a newer one that does not say so is fine', async () => {
    const { url } = await postgresDatabase()
    const store = openStore({ connectionString: url })
    await store.schema.migrate()
    const client = await connect(url)
    await client.query('insert into waybill.migrations (version, oldest_code) values (2, 1)')
    expect(await store.schema.check()).toEqual({ found: 2, known: 1, oldestCode: 1 })
    expect(await store.schema.migrate()).toEqual([])
    await client.query('insert into waybill.migrations (version, oldest_code) values (3, 2)')
    await expect(store.schema.check()).rejects.toMatchObject({ code: 'WB_SCHEMA_TOO_NEW' })
    await expect(store.schema.migrate()).rejects.toMatchObject({ code: 'WB_SCHEMA_TOO_NEW' })
  })
})

describe('registering', () => {
  test('can be repeated, gives transports ranges that do not overlap, and changes what may change', async () => {
    const { url } = await postgresDatabase()
    const store = openStore({ connectionString: url })
    await store.schema.migrate()
    const client = await connect(url)
    const local = { ...orders, channel: 'mail', transport: 'local' }
    for (let i = 0; i < 2; i++)
      await store.schema.register([orders, local], [{ consumer: 'c', channels: ['mail'] }], 4)
    await store.schema.register([{ ...orders, address: 'new-topic', maxBytes: 5 }], [], 99)
    await store.schema.register([{ ...orders, channel: 'x', transport: 'third' }], [], 3)
    const { rows: transports } = await client.query(
      'select transport, first_partition, partitions from waybill.transports order by first_partition',
    )
    expect(transports).toEqual([
      { transport: 'kafka', first_partition: 0, partitions: 4 },
      { transport: 'local', first_partition: 4, partitions: 4 },
      { transport: 'third', first_partition: 8, partitions: 3 },
    ])
    const { rows: lanes } = await client.query(
      'select transport, consumer, min(partition), max(partition) from waybill.partitions group by 1, 2 order by 1, 2',
    )
    expect(lanes).toEqual([
      { transport: 'kafka', consumer: '', min: 0, max: 3 },
      { transport: 'local', consumer: '', min: 4, max: 7 },
      { transport: 'local', consumer: 'c', min: 4, max: 7 },
      { transport: 'third', consumer: '', min: 8, max: 10 },
    ])
    const { rows } = await client.query(
      `select address, max_bytes from waybill.channels where channel = 'orders'`,
    )
    expect(rows).toEqual([{ address: 'new-topic', max_bytes: 5 }])
  })

  test.for([{ ordered: false }, { transport: 'other' }])(
    'a channel anew with %o is a conflict while its messages wait, and is done once they have gone',
    async (change) => {
      const { url } = await postgresDatabase()
      const store = openStore({ connectionString: url })
      await store.schema.migrate()
      const client = await connect(url)
      await store.schema.register([orders], [], 4)
      await publish(store, client, 'orders', message('k'))
      const changed = { ...orders, ...change }
      await expect(store.schema.register([changed], [], 4)).rejects.toMatchObject({
        code: 'WB_CHANNEL_CONFLICT',
      })
      await store.schema.register([orders], [], 4)
      await client.query('delete from waybill.outbox')
      await store.schema.register([changed], [], 4)
    },
  )

  test('sees a message that is being written: it waits for its transaction', async () => {
    const { url } = await postgresDatabase()
    const store = openStore({ connectionString: url })
    await store.schema.migrate()
    await store.schema.register([orders], [], 4)
    const client = await connect(url)
    await client.query(`begin; select waybill.publish('orders', '1', 'k')`)
    const registering = store.schema.register([{ ...orders, ordered: false }], [], 4)
    registering.catch(() => {})
    await untilPurposeWaits(await connect(url), 'schema')
    await client.query('commit')
    await expect(registering).rejects.toMatchObject({ code: 'WB_CHANNEL_CONFLICT' })
  })

  test('says where the schema is not there', async () => {
    const { url } = await postgresDatabase()
    await expect(openStore({ connectionString: url }).schema.register([orders], [], 4)).rejects.toMatchObject(
      {
        code: 'WB_SCHEMA_MISSING',
      },
    )
  })
})

describe('the name of the schema', () => {
  test.for(['', 'A', '1a', 'a-b', 'a"b', "a'b", 'a;drop', 'pg_x', 'ü', 'a b', 'a\n', 'a'.repeat(64), '\0'])(
    'is refused where it is %j',
    (schema) => {
      expect(() => postgresStore({ connectionString: 'postgres://h/d', schema })).toThrow(
        expect.objectContaining({ code: 'WB_INVALID_OPTION' }),
      )
    },
  )

  test('is refused, or cannot be more than a name: whatever text it is (S10)', () => {
    const parts = fc.constantFrom(
      '"',
      "'",
      ';',
      '--',
      '/*',
      '$$',
      '\\',
      '\0',
      '.',
      'a',
      '_',
      '9',
      'Z',
      'pg_',
      'ſ',
      '\u212A',
    )
    const texts = fc.oneof(
      fc.string({ unit: 'binary' }),
      fc.array(parts).map((all) => all.join('')),
    )
    let accepted = 0
    fc.assert(
      fc.property(texts, (text) => {
        try {
          expect(quoteSchema(text)).toMatch(/^"[a-z_][a-z0-9_]*"$/u)
          accepted += 1
        } catch (error) {
          expect(error).toMatchObject({ code: 'WB_INVALID_OPTION' })
        }
      }),
      { numRuns: 2000 },
    )
    expect(accepted).toBeGreaterThan(0)
  })

  test('of 63 bytes is used in full', async () => {
    const { url } = await postgresDatabase()
    const schema = `s${'x'.repeat(62)}`
    const store = openStore({ connectionString: url, schema })
    await store.schema.migrate()
    const { rows } = await (
      await connect(url)
    ).query('select to_regclass($1) is not null as found', [`${schema}.outbox`])
    expect(rows).toEqual([{ found: true }])
  })
})
