import { Client } from 'pg'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { createWaybill, defineChannel, many, type Waybill } from '../../src/index.ts'
import { localTransport } from '../../src/local.ts'
import { type PgClient, postgresStore } from '../../src/postgres.ts'
import { until } from '../../src/testing.ts'
import { postgresDatabase } from '../setup/servers.ts'

interface Order {
  readonly id: string
  readonly n: number
}

const placed = defineChannel<Order>({
  name: 'orders.placed',
  guarantee: 'exactly-once',
  key: (order) => order.id,
})
const viewed = defineChannel<Order>({
  name: 'pages.viewed',
  guarantee: 'at-most-once',
  key: (order) => order.id,
})
const orders = Array.from({ length: 12 }, (_, n): Order => ({ id: `o${n % 3}`, n }))

let url: string
let client: Client
let open: Waybill<PgClient>[] = []

interface Handled extends Order {
  readonly consumer: string
  readonly of: string | undefined
}

const handled: Handled[] = []

async function started(consumers: readonly string[], retainMs = 86_400_000): Promise<Waybill<PgClient>> {
  const waybill = createWaybill(
    {
      store: postgresStore({ connectionString: url }),
      transports: { local: localTransport() },
      channels: [placed, viewed],
      retainMs,
      leaseMs: 2000,
      pollMaxMs: 20,
      logLevel: 'silent' as const,
    },
    {},
  )
  open.push(waybill)
  for (const consumer of consumers) {
    for (const channel of [placed, viewed]) {
      waybill.consume(channel, { consumer }, async ({ payload, headers }) => {
        handled.push({ ...payload, consumer, of: headers['waybill-replay-of'] })
      })
    }
  }
  await waybill.migrate()
  await waybill.start()
  return waybill
}

async function count(table: string): Promise<number> {
  return (await client.query(`select count(*)::int as n from waybill.${table}`)).rows[0].n
}

const drained = (): Promise<unknown> => until('the drain', async () => (await count('outbox')) === 0)
const of = (consumer: string): Handled[] => handled.filter((each) => each.consumer === consumer)

beforeEach(async () => {
  open = []
  handled.length = 0
  url = (await postgresDatabase()).url
  client = new Client({ connectionString: url })
  await client.connect()
})

afterEach(async () => {
  for (const waybill of open) await waybill.stop()
  await client.end()
})

it('gives a consumer that came later what was sent before, in order, and nobody anything twice', async () => {
  const first = await started(['shipping'])
  await first.transaction((tx) => first.publish(tx, placed, many(orders)))
  await drained()
  expect(await count('sent')).toBe(12)
  await first.stop()

  const second = await started(['shipping', 'audit'])
  expect(await second.sent.replay({ channel: placed.name })).toEqual({
    replayed: 12,
    known: 0,
    unroutable: 0,
  })
  await drained()
  expect(of('shipping')).toHaveLength(12)
  expect(
    of('audit')
      .map(({ n }) => n)
      .toSorted((a, b) => a - b),
  ).toEqual(orders.map(({ n }) => n))
  for (const key of ['o0', 'o1', 'o2']) {
    const ns = of('audit').filter(({ id }) => id === key)
    expect(ns.map(({ n }) => n)).toEqual(orders.filter(({ id }) => id === key).map(({ n }) => n))
  }
  // Sent again, they are kept again; and now everybody has them.
  expect(await count('sent')).toBe(12)
  expect(await second.sent.replay({ all: true })).toEqual({ replayed: 0, known: 12, unroutable: 0 })
})

it('has copies handled by everybody, as messages of their own', async () => {
  const waybill = await started(['shipping'])
  const ids = await waybill.transaction((tx) => waybill.publish(tx, placed, many(orders)))
  await drained()
  await waybill.sent.replay({ key: 'o1' }, { asNew: true })
  await until('the copies', () => handled.length === 16)
  const copies = handled.filter((each) => each.of !== undefined)
  expect(copies.map(({ of: old }) => old)).toEqual(ids.filter((_, i) => orders[i]!.id === 'o1'))
  await drained()
  expect(await count('sent')).toBe(16)
})

it('keeps nothing of an at-most-once channel, nor anything where it is off', async () => {
  const waybill = await started(['shipping', 'audit'])
  await waybill.transaction((tx) => waybill.publish(tx, viewed, many(orders)))
  await until('both consumers', () => handled.length === 24)
  await drained()
  await waybill.stop()
  const off = await started(['shipping', 'audit'], 0)
  await off.transaction((tx) => off.publish(tx, placed, many(orders)))
  await until('both consumers', () => handled.length === 48)
  await drained()
  expect(await count('sent')).toBe(0)
})
