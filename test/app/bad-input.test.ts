import { Client, Pool } from 'pg'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import * as z from 'zod'
import {
  createWaybill,
  defineChannel,
  defineConfig,
  isWaybillError,
  many,
  type Logger,
  type WaybillError,
} from '../../src/index.ts'
import { kafkaTransport } from '../../src/kafka.ts'
import { localTransport } from '../../src/local.ts'
import { postgresStore } from '../../src/postgres.ts'
import { postgresDatabase } from '../setup/servers.ts'

const secret = 'canary-payload-7f3a'
const password = 'canary-password-91c2'

const orders = defineChannel({
  name: 'orders.placed',
  schema: z.object({ orderId: z.string(), total: z.number(), note: z.string().optional() }),
  key: (order) => order.orderId,
})
const events = defineChannel({ name: 'events.any' })
const keyed = defineChannel<{ key?: string }>({ name: 'events.keyed', ordered: true })
const stranger = defineChannel<{ id: string }>({ name: 'orders.plcaed' })

let url: string
let client: Client
const logged: string[] = []
const at =
  (level: string) =>
  (fields: Readonly<Record<string, unknown>>, message: string): void => {
    logged.push(
      JSON.stringify({ level, ...fields, message }, (_, value: unknown) =>
        typeof value === 'bigint' ? `${value}` : value,
      ),
    )
  }
const logger: Logger = { debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') }

function instance(options: { url?: string; schema?: string } = {}): ReturnType<typeof createWaybill> {
  const withPassword = new URL(options.url ?? url)
  withPassword.password = password
  return createWaybill(
    defineConfig({
      store: postgresStore({
        connectionString: withPassword.href,
        ...(options.schema ? { schema: options.schema } : {}),
      }),
      transports: { local: localTransport({ maxBytes: 2000 }) },
      channels: [orders, events, keyed],
      statementTimeoutMs: 1000,
      logger,
    }),
    {},
  )
}

beforeAll(async () => {
  url = (await postgresDatabase()).url
  client = new Client({ connectionString: url })
  await client.connect()
  await using waybill = instance()
  await waybill.migrate()
})

afterAll(() => client.end())

beforeEach(() => {
  logged.length = 0
})

/** The error of `work`, which must be one of ours, name no secret, and leave nothing in the outbox. */
async function refused(work: () => unknown): Promise<WaybillError> {
  const error = await Promise.resolve()
    .then(work)
    .then(
      () => new Error('it was accepted'),
      (reason: unknown) => reason,
    )
  if (!isWaybillError(error)) throw error
  const rows = await client
    .query<{ n: number }>('select count(*)::int as n from waybill.outbox')
    .catch(() => null)
  expect(rows?.rows[0]?.n ?? 0).toBe(0)
  const told = [
    error.message,
    error.cause instanceof Error ? error.cause.message : '',
    JSON.stringify(error),
    ...logged,
  ].join('\n')
  expect(told).not.toContain(secret)
  expect(told).not.toContain(password)
  expect(error.message.length).toBeGreaterThan(30)
  return error
}

describe('publish refuses, and stores nothing', () => {
  it.each([
    ['a client that is idle', (): unknown => client],
    ['a pool', (): unknown => new Pool({ connectionString: url })],
    ['something else', (): unknown => ({ query: 1 })],
    ['nothing', (): unknown => undefined],
  ])('outside a transaction: %s', async (_what, handle) => {
    await using waybill = instance()
    const error = await refused(() => waybill.publish(handle(), orders, { orderId: 'o', total: 1 }))
    expect(error.code).toBe('WB_NO_TRANSACTION')
  })

  const cyclic: Record<string, unknown> = { secret }
  cyclic['self'] = cyclic
  it.each([
    [
      'a channel that is not in the configuration',
      stranger,
      { id: secret },
      'WB_UNKNOWN_CHANNEL',
      'Did you mean "orders.placed"',
    ],
    [
      'a payload the schema refuses',
      orders,
      { orderId: secret, total: 'many' },
      'WB_INVALID_PAYLOAD',
      'total',
    ],
    ['a message without a key on an ordered channel', keyed, {}, 'WB_KEY_REQUIRED', 'key'],
    ['a value that JSON cannot carry', events, { secret, big: 1n }, 'WB_UNSERIALISABLE', 'big'],
    ['a value that contains itself', events, cyclic, 'WB_UNSERIALISABLE', 'self'],
    [
      'a message too large for the transport',
      events,
      { secret, text: 'x'.repeat(3000) },
      'WB_MESSAGE_TOO_LARGE',
      '2000',
    ],
  ] as const)('%s', async (_what, channel, payload, code, words) => {
    await using waybill = instance()
    const error = await refused(() =>
      waybill.transaction(async (tx) => {
        await waybill.publish(tx, channel as typeof events, payload)
      }),
    )
    expect(error.code).toBe(code)
    expect(error.message).toContain(words)
  })

  it('a key and a header with a NUL, an id that is no UUID, an unknown option', async () => {
    await using waybill = instance()
    const attempt = (options: object): Promise<WaybillError> =>
      refused(() => waybill.transaction((tx) => waybill.publish(tx, events, { a: 1 }, options)))
    expect((await attempt({ key: 'a\0b' })).code).toBe('WB_NUL_CHARACTER')
    expect((await attempt({ headers: { a: `\0` } })).code).toBe('WB_NUL_CHARACTER')
    expect((await attempt({ headers: { ce_id: 'x' } })).code).toBe('WB_INVALID_HEADER')
    expect((await attempt({ id: '42' })).code).toBe('WB_INVALID_ID')
    expect((await attempt({ heders: {} })).message).toContain('Did you mean "headers"')
  })

  it('all of many, where one is wrong', async () => {
    await using waybill = instance()
    const batch = many([
      { orderId: 'a', total: 1 },
      { orderId: secret, total: Number.NaN },
    ])
    const error = await refused(() => waybill.transaction((tx) => waybill.publish(tx, orders, batch)))
    expect(error.message).toContain('2 of 2')
  })

  it('what nobody awaited, and rolls the transaction back', async () => {
    await using waybill = instance()
    await client.query('create table if not exists placed (id text)')
    const error = await refused(() =>
      waybill.transaction(async (tx) => {
        await (tx as Client).query(`insert into placed values ('o')`)
        void waybill.publish(tx, orders, { orderId: secret, total: Number.NaN })
      }),
    )
    expect(error.code).toBe('WB_INVALID_PAYLOAD')
    expect((await client.query('select from placed')).rowCount).toBe(0)
  })
})

describe('start says what is wrong with the store', () => {
  it('a schema that is not there', async () => {
    await using waybill = instance({ schema: 'elsewhere' })
    const error = await refused(() => waybill.start())
    expect(error.code).toBe('WB_SCHEMA_MISSING')
    expect(error.message).toContain('waybill migrate')
  })

  it('a schema that is newer than this code', async () => {
    await using waybill = instance({ schema: 'future' })
    await waybill.migrate()
    await client.query('insert into future.migrations (version, oldest_code) values (999, 999)')
    expect((await refused(() => waybill.start())).code).toBe('WB_SCHEMA_TOO_NEW')
    const changes = [
      () => waybill.deadLetters.purge({ all: true }),
      () => waybill.keys.skip({ all: true }),
      () => waybill.sent.replay({ all: true }),
      () => waybill.subscriptions.end('shipping'),
      () => waybill.cleanup.run(),
      () => waybill.partitions.change(3),
    ]
    const looks = [() => waybill.inspect()]
    for (const each of [...changes, ...looks]) expect((await refused(each)).code).toBe('WB_SCHEMA_TOO_NEW')
  })

  it('a database that cannot be reached', async () => {
    await using waybill = instance({ url: 'postgres://shop@127.0.0.1:1/shop' })
    expect((await refused(() => waybill.start())).code).toBe('WB_STORE_UNREACHABLE')
    expect((await refused(() => waybill.transaction(async () => {}))).code).toBe('WB_STORE_UNREACHABLE')
  })
})

describe('a configuration that cannot be meant', () => {
  const store = (): ReturnType<typeof postgresStore> => postgresStore({ connectionString: url })
  it.each([
    ['a misspelt setting', { leasMs: 1000 }, 'WB_INVALID_OPTION', 'leaseMs'],
    ['a setting out of range', { leaseMs: -1 }, 'WB_INVALID_OPTION', 'leaseMs'],
    ['a misspelt part', { chanels: [orders], channels: undefined }, 'WB_INVALID_CONFIG', 'channels'],
    [
      'a transport that is not there',
      { channels: [orders.via('locl')] },
      'WB_INVALID_CONFIG',
      'Did you mean "local"',
    ],
    [
      'an address that is none of its transport',
      {
        transports: { kafka: kafkaTransport({ brokers: ['127.0.0.1:1'] }) },
        channels: [defineChannel({ name: 'x', address: 'a b' })],
      },
      'WB_INVALID_CONFIG',
      'no name of a Kafka topic',
    ],
    ['a channel listed twice', { channels: [orders, orders] }, 'WB_INVALID_CONFIG', 'twice'],
  ])('%s', async (_what, part, code, words) => {
    const config = { store: store(), transports: { local: localTransport() }, channels: [orders], ...part }
    const error = await refused(() => createWaybill(config as never, {}))
    expect(error.code).toBe(code)
    expect(error.message).toContain(words)
  })
})
