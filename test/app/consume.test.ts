import { Client } from 'pg'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import {
  type Channel,
  createWaybill,
  defineChannel,
  many,
  type SettingsOptions,
  type Waybill,
} from '../../src/index.ts'
import { localTransport } from '../../src/local.ts'
import { type PgClient, postgresStore } from '../../src/postgres.ts'
import { until } from '../../src/testing.ts'
import { postgresDatabase } from '../setup/servers.ts'

interface Order {
  readonly id: string
}

const placed = defineChannel<Order>({ name: 'placed', guarantee: 'exactly-once', key: ({ id }) => id })

let url: string
let client: Client
const open: Waybill<PgClient>[] = []

beforeEach(async () => {
  ;({ url } = await postgresDatabase())
  client = new Client({ connectionString: url })
  await client.connect()
})

afterEach(async () => {
  for (const waybill of open.splice(0)) await waybill.stop()
  await client.end()
})

type AnyChannel = Channel<never, never, boolean, boolean>

async function instance(
  channel: unknown = placed,
  settings: SettingsOptions = {},
): Promise<Waybill<PgClient>> {
  const waybill = createWaybill<PgClient>(
    {
      store: postgresStore({ connectionString: url }),
      transports: { local: localTransport() },
      channels: [channel as AnyChannel],
      pollMaxMs: 20,
      retryInitialMs: 10,
      retryMaxMs: 20,
      logLevel: 'silent',
      ...settings,
    },
    {},
  )
  open.push(waybill)
  await waybill.migrate()
  return waybill
}

async function count(table: string): Promise<number> {
  const { rows } = await client.query<{ n: number }>(`select count(*)::int as n from ${table}`)
  return rows[0]!.n
}

const drained = (): Promise<unknown> => until('the drain', async () => (await count('waybill.outbox')) === 0)
const orders = (n: number): Order[] => Array.from({ length: n }, (_, i) => ({ id: `o${i}` }))

describe('consume', () => {
  it('hands a batch handler what came together, once each', async () => {
    const waybill = await instance()
    const sizes: number[] = []
    const seen: string[] = []
    waybill.consume(placed, { consumer: 'one', batch: true }, (messages, { idempotencyKeys }) => {
      expect(new Set(idempotencyKeys).size).toBe(messages.length)
      sizes.push(messages.length)
      seen.push(...messages.map(({ payload }) => payload.id))
    })
    await waybill.transaction((tx) => waybill.publish(tx, placed, many(orders(300))))
    await waybill.start()
    await drained()
    expect(seen.toSorted()).toEqual(
      orders(300)
        .map(({ id }) => id)
        .toSorted(),
    )
    expect(Math.max(...sizes)).toBeGreaterThan(1)
  })

  it('puts middleware around handlers and publishes, the first outermost', async () => {
    const waybill = await instance()
    const said: string[] = []
    for (const name of ['outer', 'inner']) {
      waybill.use({
        publish: (publication, next) =>
          next({ ...publication, options: { ...publication.options, headers: { tenant: name } } }),
        consume: async (message, _context, next) => {
          said.push(`${name} before`)
          await next()
          said.push(`${name} after ${message.headers['tenant']}`)
        },
      })
    }
    waybill.consume(placed, { consumer: 'one' }, () => void said.push('handler'))
    await waybill.start()
    await waybill.transaction((tx) => waybill.publish(tx, placed, { id: 'a' }))
    await drained()
    expect(said).toEqual([
      'outer before',
      'inner before',
      'handler',
      'inner after inner',
      'outer after inner',
    ])
  })

  it('gives a handler its own time, and aborts its signal after it', async () => {
    const waybill = await instance(placed, { maxAttempts: 1 })
    const aborted: boolean[] = []
    waybill.consume(placed, { consumer: 'one', timeoutMs: 50 }, (_message, { signal }) => {
      return new Promise((resolve) => {
        signal.addEventListener('abort', () => {
          aborted.push(true)
          resolve()
        })
      })
    })
    await waybill.start()
    await waybill.transaction((tx) => waybill.publish(tx, placed, { id: 'a' }))
    await until('the dead letter', async () => (await count('waybill.dead')) === 1)
    const { rows } = await client.query('select error_code from waybill.dead')
    expect(rows).toEqual([{ error_code: 'WB_TIMED_OUT' }])
    expect(aborted).toEqual([true])
  })

  it('handles different keys side by side, where it may', async () => {
    const waybill = await instance()
    const meeting = Promise.withResolvers<void>()
    let inside = 0
    waybill.consume(placed, { consumer: 'one', concurrency: 2 }, async () => {
      inside += 1
      if (inside === 2) meeting.resolve()
      // Nobody gets further alone.
      await meeting.promise
    })
    await waybill.transaction((tx) => waybill.publish(tx, placed, many(orders(20))))
    await waybill.start()
    await drained()
    expect(inside).toBe(20)
  })
})

describe('a version of a channel', () => {
  const name = 'versioned'
  const first = defineChannel<{ total: number }>({ name })
  const second = defineChannel<{ cents: number }>({
    name,
    version: 2,
    upcast: (payload) => ({ cents: (payload as { total: number }).total * 100 }),
  })

  it('is upcast for a handler of a newer one', async () => {
    const old = await instance(first)
    await old.transaction((tx) => old.publish(tx, first, { total: 7 }))
    const waybill = await instance(second)
    const seen: unknown[] = []
    waybill.consume(second, { consumer: 'one' }, ({ payload, version }) => void seen.push([payload, version]))
    await waybill.start()
    await waybill.transaction((tx) => waybill.publish(tx, second, { cents: 9 }))
    await drained()
    expect(seen).toHaveLength(2)
    // The version it was written in is told.
    expect(seen).toContainEqual([{ cents: 700 }, 1])
    expect(seen).toContainEqual([{ cents: 9 }, 2])
  })

  it('that a handler does not know is kept as a dead letter, and dropped by nobody', async () => {
    const newer = await instance(second)
    await newer.transaction((tx) => newer.publish(tx, second, { cents: 7 }))
    const waybill = await instance(first)
    let runs = 0
    waybill.consume(first, { consumer: 'one' }, () => void (runs += 1))
    await waybill.start()
    await until('the dead letter', async () => (await count('waybill.dead')) === 1)
    const { rows } = await client.query('select reason, error_code from waybill.dead')
    expect(rows).toEqual([{ reason: 'unreadable', error_code: 'WB_VERSION_UNKNOWN' }])
    expect(runs).toBe(0)
  })
})

describe('a channel that cannot hold what it promises', () => {
  it('starts nothing, and says what to do', async () => {
    const set = defineChannel({ name: 'set', guarantee: 'effectively-once' })
    const waybill = await instance(set)
    waybill.consume(set, { consumer: 'one' }, () => {})
    await expect(waybill.start()).rejects.toMatchObject({
      code: 'WB_GUARANTEE_UNSUPPORTED',
      message: expect.stringMatching(/"set".*idempotent: true/su),
    })
    expect(waybill.status()).toMatchObject({ isRunning: false, parts: [] })
  })
})

describe('the inbox', () => {
  it('forgets what is past its retention, by itself', async () => {
    const waybill = await instance(placed, { inboxRetentionMs: 3_600_000, cleanupIntervalMs: 100 })
    await client.query(
      `insert into waybill.inbox (consumer, message_id, processed_at) values
       ('one', gen_random_uuid(), now() - interval '2 hours'), ('one', gen_random_uuid(), now())`,
    )
    await waybill.start()
    await until('one row left', async () => (await count('waybill.inbox')) === 1)
    const [part] = waybill.status().parts.filter(({ kind }) => kind === 'cleanup')
    expect(part).toMatchObject({ forgotten: 1 })
  })
})
