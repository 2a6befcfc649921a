import { expect, test } from 'vitest'
import { Connections } from '../../../src/stores/postgres/connections.ts'
import { countText } from '../../../src/stores/postgres/gauge.ts'
import {
  removeFoundText,
  removeText,
  sweepText,
} from '../../../src/stores/postgres/outbox-remove-statements.ts'
import { loseText } from '../../../src/stores/postgres/outbox-lose-statement.ts'
import { moveFollowersText } from '../../../src/stores/postgres/outbox-follower-statements.ts'
import { blockText, buryText } from '../../../src/stores/postgres/outbox-line-statements.ts'
import { removeFencedText } from '../../../src/stores/postgres/outbox-fenced-statements.ts'
import { newsStatement } from '../../../src/stores/postgres/outbox-news-statement.ts'
import { readStatement } from '../../../src/stores/postgres/outbox-read-statement.ts'
import { takeText } from '../../../src/stores/postgres/outbox-take-statements.ts'
import { postgresDatabase } from '../../setup/servers.ts'
import { blocks, fullPasses, type Node, prepare } from './explain.ts'
import { connect, context, openStore, openStreet } from './support.ts'

test.for([
  { consumer: '', made: 'while the tables were empty and analysed' },
  { consumer: 'one', made: 'while the tables were empty and analysed' },
  { consumer: '', made: 'before the tables were ever analysed' },
  { consumer: 'one', made: 'before the tables were ever analysed' },
])(
  'plans made $made stay on the indexes with 200,000 rows, lane "$consumer" (P10)',
  async ({ consumer, made }) => {
    const { url } = await postgresDatabase()
    const store = openStore({ connectionString: url })
    await store.schema.migrate()
    const street = await openStreet(url, store, { consumers: consumer === '' ? [] : ['one', 'two'] })
    const client = await connect(url)
    await client.query(`alter table waybill.outbox set (autovacuum_enabled = off);
      alter table waybill.blocked set (autovacuum_enabled = off);
      alter table waybill.inbox set (autovacuum_enabled = off)`)
    if (made.includes('empty')) await client.query('analyze')
    const connections = new Connections({ connectionString: url }, context)
    const reads = connections.open('reads', { settings: { plan_cache_mode: 'force_generic_plan' } })
    const effects = connections.open('deletes', { settings: { plan_cache_mode: 'force_custom_plan' } })
    try {
      const [s, lane] = ['"waybill"', { transport: street.transport, consumer }]
      const read = await prepare(reads, 'read_rows', readStatement(s, lane))
      const news = await prepare(reads, 'read_news', newsStatement(s, lane))
      const remove = await prepare(effects, 'remove_rows', removeText(s, lane, false))
      const removeFound = await prepare(effects, 'remove_found', removeFoundText(s, false))
      const block = await prepare(effects, 'block_rows', blockText(s, lane))
      const bury = await prepare(effects, 'bury_rows', buryText(s, lane))
      const follow = await prepare(effects, 'move_followers', moveFollowersText(s, lane))
      const lose = await prepare(effects, 'lose_rows', loseText(s, lane))
      const take = await prepare(effects, 'take_rows', takeText(s, lane))
      const fenced = await prepare(effects, 'remove_fenced', removeFencedText(s, false))
      const sweep = await prepare(effects, 'sweep_rows', sweepText(s, false))
      const request = (floor: number, xmax: string): unknown[] => [
        street.partitions,
        street.partitions.map(() => floor),
        [],
        xmax,
        50,
        100,
        100,
        [street.channel],
        consumer,
        street.partitions.map(() => 0),
        street.partitions.map(() => 0),
        ...[1000, 1_000_000, 5000, [], []],
      ]
      if (made.includes('empty')) await read(request(0, '1'))
      await client.query(
        `insert into waybill.outbox (partition, id, channel, key, payload)
         select $1::int + g % 4, gen_random_uuid(), $2, 'key-' || g, 'x' from generate_series(1, 200000) g`,
        [street.first, street.channel],
      )
      await client.query(
        `insert into waybill.blocked (consumer, partition, seq, id, channel, key, attempts, retry_at, error_code, error,
           first_error_code, first_error)
         select $1, partition, seq, id, channel, key, 1, now() + case when seq <= 3 then interval '0' else interval '1 hour' end,
           'E', 'e', 'E', 'e' from waybill.outbox order by seq limit 20000`,
        [consumer],
      )
      // Some of the keys are parked: their rows are read too, each marked by a look of its own.
      await client.query(
        `update waybill.blocked set state = 'parked', retry_at = 'infinity' where seq % 5 = 0 and seq > 3`,
      )
      const { rows: known } = await client.query(
        'select partition, seq::text, id from waybill.outbox where seq between 30001 and 31000',
      )
      const { rows: found } = await client.query(
        'select partition, seq::text, id, ctid::text as place from waybill.outbox where seq between 40001 and 41000',
      )
      const { rows: now } = await client.query('select pg_snapshot_xmax(pg_current_snapshot())::text as xmax')
      const refs = [
        known.map((row) => row.partition),
        known.map((row) => row.seq),
        known.map((row) => row.id),
      ]

      const ofSome = refs.map((each) => each.slice(500, 990))
      const plans = {
        // A consumer's lane has no fenced transactions, and deletes by key.
        ...(consumer === '' && {
          fenced: await fenced([...ofSome, consumer, street.first, 0, 1, 'log']),
          removeFound: await removeFound([
            found.map((row) => row.partition),
            found.map((row) => row.seq),
            found.map((row) => row.id),
            consumer,
            found.map((row) => `"${row.place}"`),
          ]),
        }),
        read: await read(request(20_000, now[0].xmax)),
        news: await news([street.partitions, [], now[0].xmax, [street.channel], consumer, 101, 1000]),
        block: await block([
          ...refs.map((each) => each.slice(0, 10)),
          consumer,
          ...[0, 1, 'E', 'e', street.channel, 'key', 1000, false].map((value) => Array(10).fill(value)),
        ]),
        take: await take([
          ...refs.map((each) => each.slice(10, 500)),
          consumer,
          Array(490).fill(0),
          '00000000-0000-7000-8000-000000000000',
        ]),
        bury: await bury([
          ...refs.map((each) => each.slice(0, 10)),
          consumer,
          ...[0, 1, 'E', 'e', 'rejected', true].map((value) => Array(10).fill(value)),
        ]),
        follow: await follow([...refs.map((each) => each.slice(990)), consumer, Array(10).fill(0)]),
        lose: await lose([
          ...refs.map((each) => each.slice(20, 30)),
          consumer,
          ...[0, 'expired', 'E'].map((value) => Array(10).fill(value)),
        ]),
        remove: await remove([...refs, consumer]),
      }
      for (const [name, plan] of Object.entries(plans)) {
        expect(fullPasses(plan), name).toEqual([])
        // At most 1,000 rows, with a few pages each for row, lines and inbox; a look at every row is hundreds of thousands.
        expect(blocks(plan), name).toBeLessThan(40_000)
        expect(blocks(plan), name).toBeGreaterThan(0)
      }
      const { rows: left } = await client.query(
        'select count(*)::int as n from waybill.outbox where seq between 30001 and 31000 or seq between 40001 and 41000',
      )
      expect(left[0].n).toBe(consumer === '' ? 0 : 2000)
      if (consumer !== '') expect(fullPasses(await sweep([street.partitions, consumer, 100]))).toEqual([])
    } finally {
      await connections.closeAll()
    }
  },
)

test('the late part looks into lines only for what lies below the floors', async () => {
  const { url } = await postgresDatabase()
  const store = openStore({ connectionString: url })
  await store.schema.migrate()
  const street = await openStreet(url, store)
  const client = await connect(url)
  const { rows } = await client.query('select pg_snapshot_xmax(pg_current_snapshot())::text as xmax')
  await client.query(
    `insert into waybill.outbox (partition, id, channel, key, payload)
     select $1, gen_random_uuid(), $2, 'key-' || g, 'x' from generate_series(1, 20000) g`,
    [street.first, street.channel],
  )
  await client.query(
    `insert into waybill.blocked (partition, seq, id, channel, key, attempts, retry_at, error_code, error, first_error_code, first_error)
     select partition, seq, id, channel, key, 1, now() + interval '1 hour', 'E', 'e', 'E', 'e' from waybill.outbox where seq = 1`,
  )
  const connections = new Connections({ connectionString: url }, context)
  const reads = connections.open('reads', { settings: { plan_cache_mode: 'force_generic_plan' } })
  try {
    const read = await prepare(reads, 'read_rows', readStatement('"waybill"', street.lane))
    const plan = await read([
      [street.first],
      [0],
      [],
      rows[0].xmax,
      50,
      100,
      100,
      [street.channel],
      '',
      [0],
      [0],
      ...[1000, 1_000_000, 5000, [], []],
    ])
    // 20,000 rows are new since the snapshot and above the floor: two looks into lines for each would be 80,000 pages and more.
    expect(blocks(plan)).toBeGreaterThan(100)
    expect(blocks(plan)).toBeLessThan(30_000)
  } finally {
    await connections.closeAll()
  }
})

test.for(['while the tables were empty and analysed', 'before the tables were ever analysed'])(
  'a read planned %s looks at so many rows and no more where a hundred thousand keys are held (P10)',
  async (made) => {
    const { url } = await postgresDatabase()
    const store = openStore({ connectionString: url })
    await store.schema.migrate()
    const street = await openStreet(url, store, { partitions: 1 })
    const client = await connect(url)
    await client.query(`alter table waybill.outbox set (autovacuum_enabled = off);
      alter table waybill.blocked set (autovacuum_enabled = off)`)
    if (made.includes('empty')) await client.query('analyze')
    const connections = new Connections({ connectionString: url }, context)
    const reads = connections.open('reads', { settings: { plan_cache_mode: 'force_generic_plan' } })
    try {
      const read = await prepare(reads, 'read_rows', readStatement('"waybill"', street.lane))
      const request = (looks: number): unknown[] => [
        [street.first],
        [0],
        [],
        null,
        ...[50, 100, 100],
        [street.channel],
        '',
        [0],
        [0],
        ...[1000, 1_000_000, looks, [], []],
      ]
      if (made.includes('empty')) await read(request(1000))
      await client.query(
        `insert into waybill.outbox (partition, id, channel, key, payload)
         select $1, gen_random_uuid(), $2, 'key-' || g, 'x' from generate_series(1, 100001) g`,
        [street.first, street.channel],
      )
      await client.query(
        `insert into waybill.blocked (partition, seq, id, channel, key, attempts, retry_at, error_code, error, first_error_code, first_error)
         select partition, seq, id, channel, key, 1, 'infinity', 'E', 'e', 'E', 'e' from waybill.outbox order by seq limit 100000`,
      )
      const some = await read(request(1000))
      // The row that says where it stopped, and the one of what is said once.
      expect(some['Actual Rows']).toBe(2)
      expect(fullPasses(some)).toEqual([])
      expect(blocks(some)).toBeLessThan(15_000)
      const all = await read(request(1_000_000))
      expect(all['Actual Rows']).toBe(2)
      expect(blocks(all)).toBeGreaterThan(20 * blocks(some))
    } finally {
      await connections.closeAll()
    }
  },
)

// A million takes its time to be written: that many only in the full run.
const delayedRows = process.env['WAYBILL_TEST_FULL'] === undefined ? 200_000 : 1_000_000

test.for([
  { consumer: '', made: 'while the tables were empty and analysed' },
  { consumer: 'one', made: 'before the tables were ever analysed' },
])(
  'a read planned $made walks over no delayed row that is not due, lane "$consumer" (P10)',
  async ({ consumer, made }) => {
    const { url } = await postgresDatabase()
    const store = openStore({ connectionString: url })
    await store.schema.migrate()
    const consumers = consumer === '' ? [] : ['one', 'two']
    const street = await openStreet(url, store, { ordered: false, consumers })
    const client = await connect(url)
    await client.query('alter table waybill.outbox set (autovacuum_enabled = off)')
    if (made.includes('empty')) await client.query('analyze')
    const connections = new Connections({ connectionString: url }, context)
    const reads = connections.open('reads', { settings: { plan_cache_mode: 'force_generic_plan' } })
    try {
      const lane = { transport: street.transport, consumer }
      const read = await prepare(reads, 'read_rows', readStatement('"waybill"', lane))
      const request = (floor: number, time: string, limit: number): unknown[] => [
        street.partitions,
        street.partitions.map(() => floor),
        [],
        '1000000',
        ...[limit, 100, 100],
        [street.channel],
        consumer,
        street.partitions.map(() => time),
        street.partitions.map(() => 0),
        ...[1000, 1_000_000, 5000, [], []],
      ]
      if (made.includes('empty')) await read(request(0, '0', 50))
      // 40 an hour overdue, 400 due since the last read, all others later.
      await client.query(
        `insert into waybill.outbox (partition, id, channel, payload, not_before)
       select $1::int + g % 4, gen_random_uuid(), $2, 'x', case when g <= 40 then now() - interval '1 hour'
         when g <= 440 then now() else now() + g * interval '1 minute' end from generate_series(1, $3) g`,
        [street.first, street.channel, delayedRows],
      )
      const { rows: last } = await client.query(
        `select ((extract(epoch from now()) - 60) * 1000000)::bigint::text as mark, max(seq)::text as top from waybill.outbox`,
      )
      const rowsOf = (plan: Node): number => plan['Actual Rows']
      const due = await read(request(Number(last[0].top), last[0].mark, 200))
      expect(rowsOf(due)).toBe(401)
      expect(fullPasses(due)).toEqual([])
      expect(blocks(due)).toBeLessThan(6000)
      const cut = await read(request(Number(last[0].top), last[0].mark, 10))
      expect(rowsOf(cut)).toBe(41)
      expect(blocks(cut)).toBeLessThan(blocks(due))
      const all = await read(request(Number(last[0].top), '0', 200))
      expect(rowsOf(all)).toBe(441)
    } finally {
      await connections.closeAll()
    }
  },
)

test.for(['while the tables were empty and analysed', 'before the tables were ever analysed'])(
  'a count of what waits, planned %s, ends at its limit and walks the index otherwise (P10)',
  async (made) => {
    const { url } = await postgresDatabase()
    const store = openStore({ connectionString: url })
    await store.schema.migrate()
    const street = await openStreet(url, store, { ordered: false })
    const client = await connect(url)
    await client.query('alter table waybill.outbox set (autovacuum_enabled = off)')
    if (made.includes('empty')) await client.query('analyze')
    const connections = new Connections({ connectionString: url }, context)
    const counts = connections.open('gauge', { setUp: 'set plan_cache_mode to force_generic_plan' })
    try {
      const count = await prepare(counts, 'count_rows', countText('"waybill"'))
      if (made.includes('empty')) await count([street.channel, 10])
      await client.query(
        `insert into waybill.outbox (partition, id, channel, payload)
         select $1::int + g % 4, gen_random_uuid(), case when g % 10 = 0 then $2 else 'another' end, 'x'
         from generate_series(1, 200000) g`,
        [street.first, street.channel],
      )
      const some = await count([street.channel, 100])
      expect(fullPasses(some)).toEqual([])
      expect(blocks(some)).toBeLessThan(500)
      const all = await count([street.channel, 100_000])
      expect(fullPasses(all)).toEqual([])
      const gauge = store.openGauge()
      expect(await gauge.count(street.channel, 100_000)).toBe(20_000)
      expect(await gauge.count(street.channel, 100)).toBe(100)
      expect(await gauge.count('nothing', 100)).toBe(0)
    } finally {
      await connections.closeAll()
    }
  },
)
