import { randomBytes } from 'node:crypto'
import { readFileSync } from 'node:fs'
import pg from 'pg'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createWaybill, defineChannel, defineConfig, type Waybill } from '../../src/index.ts'
import { silentLogger } from '../../src/kernel/logger.ts'
import { localTransport } from '../../src/local.ts'
import { postgresStore, type PgClient } from '../../src/postgres.ts'
import { until } from '../../src/testing.ts'
import { noOpTransport } from '../../bench/no-op-transport.ts'
import { postgresDatabase } from '../setup/servers.ts'

/** Rights of the database, as SECURITY.md tells its readers to grant them (S19). */
const page = readFileSync(new URL('../../SECURITY.md', import.meta.url), 'utf8')
const grants = /```sql\n(.*?)```/su.exec(page)![1]!

const { url } = await postgresDatabase()
const owner = new pg.Client({ connectionString: url })
/** Roles are the server's, not the database's: these are of this run. */
const suffix = randomBytes(4).toString('hex')
const roles = ['shop_publisher', 'shop_relay', 'shop_observer'] as const
type Role = (typeof roles)[number]

const orders = defineChannel<{ n: number }>({ name: 'orders.placed', key: ({ n }) => String(n % 3) })
const bills = defineChannel<{ n: number }>({ name: 'bills.made' })
const few = defineChannel<{ n: number }>({ name: 'few.made', maxPending: 2 })
const channels = [orders.via('local'), bills.via('broker'), few.via('broker')]

function as(role: Role): Waybill<PgClient> {
  const own = new URL(url)
  own.username = `${role}_${suffix}`
  return createWaybill(
    defineConfig({
      store: postgresStore({ connectionString: own.href }),
      transports: { local: localTransport(), broker: noOpTransport() },
      channels,
      leaseMs: 1000,
      maxAttempts: 1,
      cleanupIntervalMs: 100,
      retainMs: 86_400_000,
      logger: silentLogger,
    }),
    {},
  )
}

async function connect(role: Role): Promise<pg.Client> {
  const own = new URL(url)
  own.username = `${role}_${suffix}`
  const client = new pg.Client({ connectionString: own.href })
  await client.connect()
  return client
}

beforeAll(async () => {
  await owner.connect()
  await using waybill = createWaybill(
    defineConfig({
      store: postgresStore({ connectionString: url }),
      transports: { local: localTransport(), broker: noOpTransport() },
      channels,
    }),
    {},
  )
  await waybill.migrate()
  for (const role of roles) await owner.query(`create role ${role}_${suffix} login`)
  await owner.query(grants.replaceAll(/\bshop_\w+/gu, (role) => `${role}_${suffix}`))
})

afterAll(async () => {
  for (const role of roles) await owner.query(`drop owned by ${role}_${suffix}; drop role ${role}_${suffix}`)
  await owner.end()
})

describe('under roles that have the documented rights and no more (S19)', () => {
  it('a publisher publishes, one message, many and in SQL, and can read none of them', async () => {
    await using waybill = as('shop_publisher')
    await waybill.transaction(async (tx) => {
      await waybill.publish(tx, orders, { n: 1 })
      for (const n of [2, 3]) await waybill.publish(tx, bills, { n })
      await tx.query(`select waybill.publish('orders.placed', '{"n": 4}', '1')`)
    })
    const client = await connect('shop_publisher')
    try {
      const forbidden = [
        'select * from waybill.outbox',
        'select payload from waybill.outbox',
        'delete from waybill.outbox',
        'select * from waybill.dead',
      ]
      for (const text of forbidden) await expect(client.query(text)).rejects.toMatchObject({ code: '42501' })
    } finally {
      await client.end()
    }
  })

  it('a publisher is held back by maxPending, and told where SECURITY.md has the rights it lacks', async () => {
    await using waybill = as('shop_publisher')
    const publish = (): Promise<unknown> => waybill.transaction((tx) => waybill.publish(tx, few, { n: 1 }))
    await until('the channel is full', async () => {
      try {
        await publish()
        return false
      } catch (error) {
        expect(error).toMatchObject({ code: 'WB_BACKLOG_FULL' })
        return true
      }
    })
    await expect(waybill.deadLetters.list()).rejects.toMatchObject({
      code: 'WB_STORE_FAILED',
      message: expect.stringContaining('SECURITY.md'),
    })
  })

  it('a relay registers, relays, consumes, buries, cleans up, replays and changes the number of partitions; it makes, empties and alters no table', async () => {
    await using waybill = as('shop_relay')
    const seen: number[] = []
    let isFailing = true
    waybill.consume(orders, { consumer: 'shipping' }, ({ payload }) => {
      if (payload.n === 5 && isFailing) throw new Error('not yet')
      seen.push(payload.n)
    })
    await waybill.start()
    await waybill.transaction(async (tx) => {
      await waybill.publish(tx, orders, { n: 5 })
      await waybill.publish(tx, bills, { n: 6 })
    })
    await until('the dead letter', async () => (await waybill.deadLetters.list()).length === 1)
    isFailing = false
    await waybill.deadLetters.replay({ channel: 'orders.placed' })
    await until('all is handled and sent', async () => {
      const { rows } = await owner.query('select 1 from waybill.outbox')
      return rows.length === 0 && seen.length === 3
    })
    expect(seen.sort()).toEqual([1, 4, 5])
    // Before, in the middle and after it relays do the steps of a change by the same rights.
    const changes = await waybill.partitions.change(4, { drainMs: 30_000 })
    expect(changes).toMatchObject([
      { transport: 'local', before: 16, partitions: 4, isDraining: false },
      { transport: 'broker', before: 16, partitions: 4, isDraining: false },
    ])
    await waybill.transaction((tx) => waybill.publish(tx, orders, { n: 7 }))
    await until('a message of the new partitions', () => seen.includes(7))
    const client = await connect('shop_relay')
    try {
      const forbidden = [
        'create table waybill.more (n int)',
        'truncate waybill.inbox',
        'alter table waybill.outbox add more int',
        'delete from waybill.migrations',
      ]
      for (const text of forbidden) await expect(client.query(text)).rejects.toMatchObject({ code: '42501' })
    } finally {
      await client.end()
    }
  })

  it('an observer sees what is where, and old transactions of others, and changes nothing', async () => {
    await using waybill = as('shop_observer')
    const summary = await waybill.inspect()
    expect(summary.channels?.map(({ channel }) => channel)).toEqual([
      'bills.made',
      'few.made',
      'orders.placed',
    ])
    const client = await connect('shop_observer')
    try {
      for (const table of ['outbox', 'blocked', 'dead', 'relays'])
        await expect(client.query(`delete from waybill.${table}`)).rejects.toMatchObject({ code: '42501' })
      const { rows } = await client.query(
        `select 1 from pg_stat_activity where usename <> current_user and query <> '<insufficient privilege>'`,
      )
      expect(rows.length).toBeGreaterThan(0)
    } finally {
      await client.end()
    }
  })
})
