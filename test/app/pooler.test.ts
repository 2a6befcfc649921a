import { Client } from 'pg'
import { expect, it, onTestFinished } from 'vitest'
import { createWaybill, defineChannel, many, type Waybill } from '../../src/index.ts'
import { localTransport } from '../../src/local.ts'
import { type PgClient, postgresStore } from '../../src/postgres.ts'
import { httpMonitor } from '../../src/monitor.ts'
import type { Health } from '../../src/monitor/health.ts'
import { freePort, startPgbouncer, startProxy, until } from '../../src/testing.ts'
import { describeWithPgbouncer, postgresDatabase } from '../setup/servers.ts'

interface Order {
  readonly n: number
  readonly customer: string
}

const orders = defineChannel<Order>({
  name: 'orders',
  guarantee: 'exactly-once',
  key: (order) => order.customer,
})
const shipments = defineChannel<Order>({ name: 'shipments', key: (order) => order.customer })

describeWithPgbouncer('services behind a pooler in transaction mode', () => {
  it('deliver each message once, through handlers that publish, and share the work', async () => {
    const { url } = await postgresDatabase()
    const pooler = await startPgbouncer({ target: url, settings: { default_pool_size: '6' } })
    onTestFinished(() => pooler.stop())
    const client = new Client({ connectionString: url })
    await client.connect()
    onTestFinished(() => client.end())
    await client.query(
      'create table effects (channel text, n int, customer text, number bigint generated always as identity)',
    )
    const instance = (): Waybill<PgClient> => {
      const waybill = createWaybill(
        {
          store: postgresStore({ connectionString: pooler.url }),
          transports: { local: localTransport() },
          channels: [orders, shipments],
          leaseMs: 2000,
          pollMaxMs: 20,
          logLevel: 'silent' as const,
        },
        {},
      )
      onTestFinished(() => waybill.stop())
      const note = (tx: PgClient, channel: string, { n, customer }: Order): Promise<unknown> =>
        tx.query('insert into effects (channel, n, customer) values ($1, $2, $3)', [channel, n, customer])
      waybill.consume(orders, { consumer: 'shipping' }, async ({ payload }, { tx }) => {
        await note(tx, 'orders', payload)
        await waybill.publish(tx, shipments, payload)
      })
      waybill.consume(shipments, { consumer: 'mail' }, async ({ payload }, { tx }) => {
        await note(tx, 'shipments', payload)
      })
      return waybill
    }
    const [first, second] = [instance(), instance()]
    await first.migrate()
    await Promise.all([first.start(), second.start()])
    const all = Array.from({ length: 300 }, (_, n): Order => ({ n, customer: `c${n % 7}` }))
    for (let at = 0; at < all.length; at += 10) {
      const some = all.slice(at, at + 10)
      await Promise.all([
        first.transaction((tx) => first.publish(tx, orders, many(some.slice(0, 5)))),
        second.transaction((tx) => second.publish(tx, orders, many(some.slice(5)))),
      ])
    }
    const effects = async (): Promise<readonly { channel: string; n: number; customer: string }[]> =>
      (await client.query('select channel, n, customer from effects order by number')).rows
    await until('all effects', async () => (await effects()).length >= 600)
    const rows = await effects()
    expect(new Set(rows.map(({ channel, n }) => `${channel} ${n}`)).size).toBe(600)
    expect(rows).toHaveLength(600)
    const held = (waybill: Waybill<PgClient>): number =>
      waybill.status().parts.flatMap((part) => (part.kind === 'relay' ? (part.relay?.partitions ?? []) : []))
        .length
    await until('fair shares', () => held(first) === 16 && held(second) === 16)
    // Without an inbox a row goes after the commit of its handler, in a transaction of its own.
    await until('the drain', async () => {
      const { rows: waiting } = await client.query('select count(*)::int as n from waybill.outbox')
      return waiting[0].n === 0
    })
  })

  it('are counted and well, and are not while the pooler answers nobody', async () => {
    const { url } = await postgresDatabase()
    const pooler = await startPgbouncer({ target: url, settings: { default_pool_size: '6' } })
    onTestFinished(() => pooler.stop())
    await using proxy = await startProxy({ port: Number(new URL(pooler.url).port) })
    const through = new URL(pooler.url)
    through.port = String(proxy.port)
    const httpPort = await freePort()
    const waybill = createWaybill(
      {
        store: postgresStore({ connectionString: through.href }),
        transports: { local: localTransport() },
        channels: [orders],
        leaseMs: 1000,
        pollMaxMs: 20,
        statementTimeoutMs: 1000,
        monitor: httpMonitor({ healthTimeoutMs: 1500 }),
        httpPort,
        logLevel: 'silent' as const,
      },
      {},
    )
    onTestFinished(() => waybill.stop())
    await waybill.migrate()
    waybill.consume(orders, { consumer: 'shipping' }, () => {})
    await waybill.start()
    const health = async (): Promise<{ status: number; unwell: string[] }> => {
      const response = await fetch(`http://127.0.0.1:${httpPort}/healthz`)
      const { components } = (await response.json()) as Health
      const unwell = components.filter(({ isHealthy }) => !isHealthy).map(({ name }) => name)
      return { status: response.status, unwell }
    }
    await until('good health', async () => (await health()).status === 200)
    const { relays } = await waybill.inspect()
    expect(relays).toMatchObject([{ consumer: 'shipping', isAlive: true, isPooled: true }])
    proxy.halfOpen()
    await until('bad health', async () => (await health()).unwell.includes('database'))
    await proxy.heal()
    await until('good health again', async () => (await health()).status === 200)
  })
})
