import { Client } from 'pg'
import { afterAll, expect, it } from 'vitest'
import { createWaybill, defineChannel, defineConfig, type Message, type Waybill } from '../../src/index.ts'
import { silentLogger } from '../../src/kernel/logger.ts'
import { localTransport } from '../../src/local.ts'
import { type PgClient, postgresStore } from '../../src/postgres.ts'
import { until } from '../../src/testing.ts'
import { postgresDatabase } from '../setup/servers.ts'

const orders = defineChannel<Record<string, unknown>>({ name: 'orders.placed' })
const { url } = await postgresDatabase()
const client = new Client({ connectionString: url })
await client.connect()
afterAll(() => client.end())

/** What somebody with a right to write into the outbox, and none to this process, might put there. */
const hostile = {
  headers: {
    ['__proto__']: 'polluted',
    constructor: 'polluted',
    prototype: 'polluted',
    'content-type': 'application/x-javascript',
    'waybill-type': 'process.exit',
    'x-class': '../../evil.ts',
    toString: 'a name like any other',
  },
  payload:
    '{"__proto__": {"polluted": true}, "constructor": {"prototype": {"polluted": true}}, "@type": "Error", ' +
    '"then": "not a function", "toJSON": "no", "$ref": "file:///etc/passwd", "js": "=cmd()"}',
}

async function service(): Promise<Waybill<PgClient>> {
  const waybill = createWaybill(
    defineConfig({
      store: postgresStore({ connectionString: url }),
      transports: { local: localTransport() },
      channels: [orders],
      logger: silentLogger,
    }),
    {},
  )
  await waybill.migrate()
  return waybill
}

it('headers and payloads as hostile as they may be are data: no prototype is reached and no code chosen (S11, S12)', async () => {
  const seen: Message<Record<string, unknown>>[] = []
  await using waybill = await service()
  waybill.consume(orders, { consumer: 'shipping' }, (message) => {
    seen.push(message)
  })
  await waybill.start()
  await client.query(
    `insert into waybill.outbox (partition, id, channel, payload, headers)
     select first_partition, gen_random_uuid(), 'orders.placed', $1, $2 from waybill.transports`,
    [Buffer.from(hostile.payload), JSON.stringify(hostile.headers)],
  )
  await until('it is handled', () => seen.length === 1)
  const { headers, payload } = seen[0]!
  expect(Object.getPrototypeOf(headers)).toBeNull()
  expect(Object.keys(headers).sort()).toEqual(['content-type', 'toString', 'waybill-type', 'x-class'])
  expect(Object.getPrototypeOf(payload)).toBe(Object.prototype)
  // An own property of that name, as it was written; what reads it is told the text, and nothing else has changed.
  expect(JSON.stringify(payload)).toBe(JSON.stringify(JSON.parse(hostile.payload)))
  expect({} as Record<string, unknown>).not.toHaveProperty('polluted')
  expect((() => {}) as unknown as Record<string, unknown>).not.toHaveProperty('polluted')
})

it('headers that are no object are none, and cost no other row its turn (O4)', async () => {
  const seen: string[] = []
  await using waybill = await service()
  waybill.consume(orders, { consumer: 'shipping' }, ({ payload, headers }) => {
    seen.push(`${String(payload['n'])} ${JSON.stringify(headers)}`)
  })
  await waybill.start()
  const given = ['null', '[1]', '"text"', '7', '{"a": 1, "b": null}', '{"a": "1"}']
  await client.query(
    `insert into waybill.outbox (partition, id, channel, payload, headers)
     select first_partition, gen_random_uuid(), 'orders.placed', convert_to(format('{"n": %s}', place), 'UTF8'), h::jsonb
     from waybill.transports, unnest($1::text[]) with ordinality g(h, place) order by place`,
    [given],
  )
  await until('all are handled', () => seen.length === given.length)
  expect(seen.toSorted()).toEqual([
    '1 {}',
    '2 {"0":"1"}',
    '3 {}',
    '4 {}',
    '5 {"a":"1","b":"null"}',
    '6 {"a":"1"}',
  ])
})
