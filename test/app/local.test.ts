import { Client } from 'pg'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import {
  type Channel,
  CommitOutcomeUnknownError,
  createWaybill,
  defineChannel,
  defineConfig,
  type Guarantee,
  many,
  type SettingsOptions,
  type Waybill,
} from '../../src/index.ts'
import { localTransport } from '../../src/local.ts'
import { type PgClient, postgresStore } from '../../src/postgres.ts'
import { startProxy, until } from '../../src/testing.ts'
import { postgresDatabase } from '../setup/servers.ts'

interface Order {
  readonly id: string
  readonly customer: string
}

const channelOf = (guarantee: Guarantee): Channel<Order> =>
  defineChannel<Order>({ name: 'orders.placed', guarantee, key: (order) => order.customer })
const exact = channelOf('exactly-once')
const planned = defineChannel<Order>({ name: 'shipments.planned', key: (order) => order.customer })

let url: string
let client: Client
const open: Waybill<PgClient>[] = []

function instance(
  options: SettingsOptions & { url?: string; channel?: typeof exact; relay?: boolean } = {},
): Waybill<PgClient> {
  const { url: place = url, channel = exact, ...settings } = options
  const waybill = createWaybill(
    defineConfig({
      store: postgresStore({ connectionString: place }),
      transports: { local: localTransport() },
      channels: [channel, planned],
      leaseMs: 2000,
      pollMaxMs: 20,
      retryInitialMs: 10,
      retryMaxMs: 20,
      logLevel: 'silent',
      ...settings,
    }),
    {},
  )
  open.push(waybill)
  return waybill
}

async function count(table: string): Promise<number> {
  const result = await client.query<{ n: number }>(`select count(*)::int as n from ${table}`)
  return result.rows[0]!.n
}

const drained = (): Promise<unknown> => until('the drain', async () => (await count('waybill.outbox')) === 0)

beforeEach(async () => {
  url = (await postgresDatabase()).url
  client = new Client({ connectionString: url })
  await client.connect()
  await client.query(
    'create table effects (consumer text, id text, customer text, number bigint generated always as identity)',
  )
  await instance().migrate()
})

afterEach(async () => {
  for (const waybill of open.splice(0)) await waybill.stop()
  await client.end()
})

const note = (tx: PgClient, consumer: string, { id, customer }: Order): Promise<unknown> =>
  tx.query('insert into effects (consumer, id, customer) values ($1, $2, $3)', [consumer, id, customer])

const ordersOf = (n: number, customers = 5): Order[] =>
  Array.from({ length: n }, (_, i) => ({ id: String(i), customer: `c${i % customers}` }))

async function place(waybill: Waybill<PgClient>, orders: readonly Order[], channel = exact): Promise<void> {
  await waybill.transaction((tx) => waybill.publish(tx, channel, many(orders)))
}

describe('consumers of the same database', () => {
  it('each get every message once and in order, a slow one without holding the other', async () => {
    const waybill = instance()
    const gate = Promise.withResolvers<void>()
    waybill.consume(exact, { consumer: 'fast' }, ({ payload }, { tx }) => void note(tx, 'fast', payload))
    waybill.consume(exact, { consumer: 'slow' }, async ({ payload }, { tx }) => {
      await gate.promise
      await note(tx, 'slow', payload)
    })
    await waybill.start()
    await place(waybill, ordersOf(200))
    await until('the fast one', async () => (await count(`effects where consumer = 'fast'`)) === 200)
    expect(await count(`effects where consumer = 'slow'`)).toBe(0)
    expect(await count('waybill.outbox')).toBe(200)
    gate.resolve()
    await drained()
    for (const consumer of ['fast', 'slow']) {
      const { rows } = await client.query<{ id: string; customer: string }>(
        `select id, customer from effects where consumer = $1 order by number`,
        [consumer],
      )
      expect(rows.map((row) => row.id).toSorted((a, b) => Number(a) - Number(b))).toEqual(
        ordersOf(200).map((o) => o.id),
      )
      for (const own of Map.groupBy(rows, (row) => row.customer).values()) {
        const ids = own.map((row) => Number(row.id))
        expect(ids).toEqual(ids.toSorted((a, b) => a - b))
      }
    }
  })

  it('give a handler the message, its transaction, a signal and the attempt', async () => {
    const waybill = instance()
    const seen: unknown[] = []
    waybill.consume(exact, { consumer: 'one' }, (message, { signal, attempt }) => {
      seen.push([
        message.id,
        message.key,
        message.payload,
        message.headers['tenant'],
        signal.aborted,
        attempt,
      ])
    })
    await waybill.start()
    const id = await waybill.transaction((tx) =>
      waybill.publish(tx, exact, { id: 'a', customer: 'c' }, { headers: { tenant: 't1' } }),
    )
    await drained()
    expect(seen).toEqual([[id, 'c', { id: 'a', customer: 'c' }, 't1', false, 1]])
  })

  it('let one bad message cost only itself: it is tried again, then a dead letter, and its key goes on', async () => {
    const waybill = instance({ maxAttempts: 3 })
    let tries = 0
    waybill.consume(exact, { consumer: 'one' }, async ({ payload }, { tx }) => {
      await note(tx, 'one', payload)
      if (payload.id !== '7') return
      tries += 1
      throw new Error('this one never works')
    })
    await waybill.start()
    await place(waybill, ordersOf(40))
    await drained()
    expect(await count('effects')).toBe(39)
    expect(await count(`effects where id = '7'`)).toBe(0)
    // Once in its batch, and then alone for each of its attempts.
    expect(tries).toBeGreaterThanOrEqual(3)
    const { rows } = await client.query('select consumer, attempts, reason, error from waybill.dead')
    expect(rows).toEqual([
      { consumer: 'one', attempts: 3, reason: 'attempts-exhausted', error: 'this one never works' },
    ])
    const counters = waybill.status().parts.flatMap((part) => (part.kind === 'consumer' ? part.counters : []))
    expect(counters).toMatchObject([{ handled: 39, dead: 1 }])
    const { rows: later } = await client.query(`select id from effects where customer = 'c2' order by number`)
    expect(later.map((row: { id: string }) => Number(row.id))).toEqual([2, 12, 17, 22, 27, 32, 37])
  })

  it('commit what a handler publishes with it, and roll it back with it', async () => {
    const waybill = instance({ maxAttempts: 2 })
    const ids: string[] = []
    waybill.consume(exact, { consumer: 'one' }, async ({ payload }, { tx }) => {
      await waybill.publish(tx, planned, payload)
      if (payload.id === '3') throw new Error('no')
    })
    waybill.consume(planned, { consumer: 'two' }, ({ payload }) => void ids.push(payload.id))
    await waybill.start()
    await place(waybill, ordersOf(10))
    await drained()
    expect(ids.toSorted()).toEqual(['0', '1', '2', '4', '5', '6', '7', '8', '9'])
  })

  it('handle at least once where that is what the channel asks for', async () => {
    const channel = channelOf('at-least-once')
    const waybill = instance({ channel })
    waybill.consume(channel, { consumer: 'one' }, ({ payload }, { tx }) => void note(tx, 'one', payload))
    await waybill.start()
    await place(waybill, ordersOf(50), channel)
    await drained()
    expect(await count('effects')).toBe(50)
    expect(await count('waybill.inbox')).toBe(0)
  })

  it('lose and double nothing when they are stopped under load, and go on when started again', async () => {
    const waybill = instance()
    waybill.consume(exact, { consumer: 'one' }, ({ payload }, { tx }) => void note(tx, 'one', payload))
    const shop = instance({ relay: false })
    await waybill.start()
    for (let i = 0; i < 5; i++) {
      await place(shop, ordersOf(300))
      await until('some effects', async () => (await count('effects')) > i * 300)
      await waybill.stop()
      expect(await count('waybill.partitions where owner is not null')).toBe(0)
      await waybill.start()
    }
    await drained()
    expect(await count('effects')).toBe(1500)
  })
})

describe('an instance', () => {
  it('that is stopped tells all of its consumers at once, whatever one of them has under way', async () => {
    const waybill = instance()
    const [begun, gate] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()]
    waybill.consume(exact, { consumer: 'quick' }, ({ payload }, { tx }) => void note(tx, 'quick', payload))
    // Registered last, so stopped first where it is one after another.
    waybill.consume(exact, { consumer: 'slow' }, async () => {
      begun.resolve()
      await gate.promise
    })
    await waybill.start()
    await place(waybill, ordersOf(1))
    await begun.promise
    const stopped = waybill.stop()
    const held = `waybill.partitions where consumer = 'quick' and owner is not null`
    await until('the end of the quick one', async () => (await count(held)) === 0)
    expect(await count(`waybill.partitions where consumer = 'slow' and owner is not null`)).toBeGreaterThan(0)
    gate.resolve()
    await stopped
  })

  it('that is stopped and at the same moment started again goes on delivering', async () => {
    const waybill = instance()
    waybill.consume(exact, { consumer: 'one' }, ({ payload }, { tx }) => void note(tx, 'one', payload))
    await waybill.start()
    await Promise.all([waybill.stop(), waybill.start()])
    await place(waybill, ordersOf(10))
    await drained()
    expect(await count('effects')).toBe(10)
  })

  it('is stopped also where its start fails at that moment', async () => {
    const nowhere = instance({ url: 'postgres://nobody@127.0.0.1:1/nothing' })
    const starting = nowhere.start()
    const stopping = nowhere.stop()
    await expect(starting).rejects.toMatchObject({ code: 'WB_STORE_UNREACHABLE' })
    await expect(stopping).resolves.toBeUndefined()
  })

  it('refuses a consumer without a handler, and options it does not know', async () => {
    const waybill = instance()
    const consume = waybill.consume.bind(waybill) as (...args: unknown[]) => void
    expect(() => consume(exact, { consumer: 'one' })).toThrow('takes a function')
    expect(() => consume(exact, undefined, () => {})).toThrow('has a name')
    expect(() => consume(exact, { conumer: 'one' }, () => {})).toThrow('Did you mean "consumer"')
    const transaction = waybill.transaction.bind(waybill) as (work?: unknown) => Promise<unknown>
    await expect(transaction()).rejects.toMatchObject({ code: 'WB_INVALID_OPTION' })
    const wrong = waybill.transaction((tx) =>
      waybill.publish(tx, exact, { id: 'a', customer: 'c' }, null as never),
    )
    await expect(wrong).rejects.toMatchObject({ code: 'WB_INVALID_OPTION' })
    expect(await count('waybill.outbox')).toBe(0)
  })
})

describe('a COMMIT whose answer is lost', () => {
  it('is unknown, and the message is there if and only if the row is', async () => {
    const port = Number(new URL(url).port)
    await using proxy = await startProxy({ port })
    const through = new URL(url)
    through.port = String(proxy.port)
    const shop = instance({ url: through.href, relay: false })
    const dropped = proxy.dropReplies({ request: (chunk) => chunk.includes('COMMIT') })
    const work = shop.transaction(async (tx) => {
      await note(tx, 'shop', { id: 'x', customer: 'c' })
      await shop.publish(tx, exact, { id: 'x', customer: 'c' })
    })
    const error = await work.then(
      () => null,
      (reason: unknown) => reason,
    )
    await dropped
    expect(error).toBeInstanceOf(CommitOutcomeUnknownError)
    const { transactionId } = error as CommitOutcomeUnknownError
    const { rows } = await client.query('select pg_xact_status($1::xid8) as status', [transactionId])
    expect(rows).toEqual([{ status: 'committed' }])
    expect(await count('waybill.outbox')).toBe(await count('effects'))
  })
})
