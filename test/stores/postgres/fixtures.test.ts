import { readdirSync, readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { newestVersion } from '../../../src/stores/postgres/migrations/all.ts'
import { pgExecutor } from '../../../src/transactions/pg.ts'
import { postgresDatabase } from '../../setup/servers.ts'
import { shape } from './shape.ts'
import { connect, idsOf, message, openDesk, openStore, publish, type Street, TestReader } from './support.ts'

const folder = new URL('../../fixtures/schema/', import.meta.url)
const fixtures = readdirSync(folder).filter((name) => name.endsWith('.sql'))

test('there is a dump of every version of the schema', () => {
  expect(fixtures.map((name) => Number.parseInt(name, 10))).toEqual(
    Array.from({ length: newestVersion }, (_, i) => i + 1),
  )
})

test.for(fixtures)(
  'the dump %s, with the data a service left, is brought up to date and works on',
  async (name) => {
    const { url } = await postgresDatabase()
    const client = await connect(url)
    await client.query(readFileSync(new URL(name, folder), 'utf8'))
    const store = openStore({ connectionString: url })
    await store.schema.migrate()
    expect(await store.schema.check()).toMatchObject({ found: newestVersion })

    // Exactly what a new installation has.
    const { url: other } = await postgresDatabase()
    await openStore({ connectionString: other }).schema.migrate()
    expect(await shape(client, 'waybill')).toEqual(await shape(await connect(other), 'waybill'))

    const kafka: Street = {
      transport: 'kafka',
      channel: 'orders',
      lane: { transport: 'kafka', consumer: '' },
      first: 0,
      partitions: [0, 1, 2, 3],
    }
    // Leases of the relay that was running have ended, and its session lock is held by nobody.
    const desk = await openDesk(store, kafka)
    const rows = await desk.reader.read()
    expect(rows.map(({ key, origin, attempts }) => [key, origin, attempts]).toSorted()).toEqual(
      [
        ['bytes', 'upper', 0],
        ['failing', 'retry', 2],
        ['one', 'upper', 0],
        ['one', 'upper', 0],
      ].toSorted(),
    )
    expect([...rows.find((row) => row.key === 'bytes')!.payload]).toEqual([0, 255, 39, 92])
    expect({ ...rows[0]!.headers }).toEqual({ 'x-from': 'fixture ü' })
    expect(await desk.outbox.remove(rows)).toEqual({ removed: 4 })
    const followers = await new TestReader(desk.outbox, kafka).read()
    expect(followers.map(({ key, origin }) => [key, origin])).toEqual([['failing', 'upper']])

    // New messages get numbers above the old ones.
    const [id] = await publish(store, client, 'orders', message('failing'))
    expect(idsOf(await new TestReader(desk.outbox, kafka).read())).toEqual([followers[0]!.id, id])

    const { rows: losses } = await client.query(
      'select channel, cause, count::int as count from waybill.losses order by 2',
    )
    expect(losses).toEqual([
      { channel: 'once', cause: 'not-sent', count: 1 },
      { channel: 'once', cause: 'process-ended', count: 1 },
    ])
    expect((await desk.outbox.fencedStates([0, 1])).get(0)).toEqual({ number: 7n, lineage: 'cluster/topic' })
    const streams = [{ stream: 'orders-topic/0', lineage: 'cluster/topic' }]
    expect([...(await store.checkpoints.find('billing', streams))]).toEqual([['orders-topic/0', 42n]])

    const local: Street = {
      ...kafka,
      transport: 'local',
      channel: 'mail',
      first: 4,
      partitions: [4, 5, 6, 7],
    }
    const [mailer, archive] = [
      await openDesk(store, local, 'mailer'),
      await openDesk(store, local, 'archive'),
    ]
    expect(await mailer.reader.read()).toHaveLength(1)
    const waiting = await archive.reader.read()
    expect(waiting).toHaveLength(2)
    await client.query('begin')
    expect((await store.inbox.take(pgExecutor(client), 'archive', waiting)).size).toBe(2)
    await client.query('commit')
    expect(await archive.outbox.remove(waiting)).toEqual({ removed: 1 })
    const { rows: dead } = await client.query(
      `select reason, error_code from waybill.dead where key = 'gone'`,
    )
    expect(dead).toEqual([{ reason: 'rejected', error_code: 'BROKER' }])
  },
)
