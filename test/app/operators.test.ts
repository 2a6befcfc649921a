import { Client } from 'pg'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { createWaybill, defineChannel, type SettingsOptions, type Waybill } from '../../src/index.ts'
import { localTransport } from '../../src/local.ts'
import { type PgClient, postgresStore } from '../../src/postgres.ts'
import { until } from '../../src/testing.ts'
import { postgresDatabase } from '../setup/servers.ts'

interface Order {
  readonly id: string
  readonly customer: string
}

const placed = defineChannel<Order>({
  name: 'placed',
  guarantee: 'exactly-once',
  key: ({ customer }) => customer,
})

const inSteps = defineChannel<Order>({
  name: 'in.steps',
  guarantee: 'exactly-once',
  key: ({ customer }) => customer,
  onPoison: 'park',
})

let url: string
let client: Client
const open: Waybill<PgClient>[] = []

beforeEach(async () => {
  ;({ url } = await postgresDatabase())
  client = new Client({ connectionString: url })
  await client.connect()
  await client.query(
    'create table effects (number bigint generated always as identity, consumer text, id text)',
  )
  await instance().migrate()
})

afterEach(async () => {
  for (const waybill of open.splice(0)) await waybill.stop()
  await client.end()
})

function instance(settings: SettingsOptions = {}, channel = placed): Waybill<PgClient> {
  const waybill = createWaybill<PgClient>(
    {
      store: postgresStore({ connectionString: url }),
      transports: { local: localTransport() },
      channels: [channel],
      leaseMs: 2000,
      pollMaxMs: 20,
      maxAttempts: 2,
      retryInitialMs: 5,
      retryMaxMs: 5,
      logLevel: 'silent',
      ...settings,
    },
    {},
  )
  open.push(waybill)
  return waybill
}

const place = (waybill: Waybill<PgClient>, id: string, customer = 'ann', channel = placed): Promise<string> =>
  waybill.transaction((tx) => waybill.publish(tx, channel, { id, customer }))

/** Handles orders, but for those that are broken. */
function consume(
  waybill: Waybill<PgClient>,
  consumer: string,
  broken: ReadonlySet<string>,
  channel = placed,
): void {
  waybill.consume(channel, { consumer }, async ({ payload }, { tx }) => {
    if (broken.has(payload.id)) throw new Error('out of stock')
    await tx.query('insert into effects (consumer, id) values ($1, $2)', [consumer, payload.id])
  })
}

async function effects(consumer: string): Promise<string[]> {
  const { rows } = await client.query<{ id: string }>(
    'select id from effects where consumer = $1 order by number',
    [consumer],
  )
  return rows.map(({ id }) => id)
}

const dead = (waybill: Waybill<PgClient>, n: number): Promise<unknown> =>
  until(`${n} dead letters`, async () => (await waybill.deadLetters.list()).length === n)

describe('dead letters of a running service', () => {
  it('come back once what was broken is mended, each to its own consumer, and have their effect once', async () => {
    const waybill = instance()
    const broken = new Set(['2'])
    consume(waybill, 'shipping', broken)
    consume(waybill, 'billing', new Set())
    await waybill.start()
    for (const id of ['1', '2', '3']) await place(waybill, id)
    await dead(waybill, 1)
    await until('the others', async () => (await effects('shipping')).length === 2)
    broken.clear()
    expect(await waybill.deadLetters.replay({ channel: 'placed' })).toMatchObject({ returned: 1, left: [] })
    await until('the replay', async () => (await effects('shipping')).length === 3)
    expect(await effects('shipping')).toEqual(['1', '3', '2'])
    await until('the drain', async () => {
      const { rows } = await client.query<{ n: number }>('select count(*)::int as n from waybill.outbox')
      return rows[0]!.n === 0
    })
    expect(await effects('billing')).toEqual(['1', '2', '3'])
    expect(await waybill.deadLetters.list()).toEqual([])
  })

  it('that still fail are dead letters again, under the same id', async () => {
    const waybill = instance()
    consume(waybill, 'shipping', new Set(['1']))
    await waybill.start()
    const id = await place(waybill, '1')
    await dead(waybill, 1)
    const [before] = await waybill.deadLetters.show(id)
    await waybill.deadLetters.replay({ ids: [id] })
    await until('it died again', async () => {
      const [after] = await waybill.deadLetters.show(id)
      return after !== undefined && after.number > before!.number
    })
    expect(await effects('shipping')).toEqual([])
  })

  it('that came from a broker are run by whichever process of their consumer looks first', async () => {
    const processes = [instance(), instance()]
    for (const each of processes) {
      consume(each, 'shipping', new Set())
      await each.start()
    }
    await client.query(
      `with ids as (select gen_random_uuid() as id, g from generate_series(1, 20) g),
       noted as (insert into waybill.inbox (consumer, message_id) select 'shipping', id from ids)
       insert into waybill.dead (consumer, id, channel, key, payload, content_type, headers, created_at, attempts, reason, error_code,
         error)
       select 'shipping', id, 'placed', 'ann', convert_to('{"id":"' || g || '","customer":"ann"}', 'UTF8'), 'application/json', '{}',
         now(), 3, 'attempts-exhausted', 'E', 'e' from ids`,
    )
    const operator = instance()
    expect(await operator.deadLetters.replay({ consumer: 'shipping' })).toMatchObject({
      asked: 20,
      returned: 0,
    })
    await until('all replays', async () => (await effects('shipping')).length >= 20)
    await until('no dead letter is left', async () => (await operator.deadLetters.list()).length === 0)
    expect((await effects('shipping')).map(Number).toSorted((a, b) => a - b)).toEqual(
      Array.from({ length: 20 }, (_, i) => i + 1),
    )
  })
})

describe('a key that one of two local consumers parked', () => {
  it('comes back to that one in its old order, and is nothing to the other', async () => {
    const waybill = instance({}, inSteps)
    const broken = new Set(['1'])
    consume(waybill, 'shipping', broken, inSteps)
    consume(waybill, 'billing', new Set(), inSteps)
    await waybill.start()
    for (const id of ['1', '2', '3']) await place(waybill, id, 'ann', inSteps)
    await place(waybill, '9', 'bob', inSteps)
    await dead(waybill, 3)
    await until('another key', async () => (await effects('shipping')).includes('9'))
    expect(await effects('shipping')).toEqual(['9'])
    expect(await waybill.keys.list()).toMatchObject([
      { state: 'parked', consumer: 'shipping', parkedMessages: 3 },
    ])
    await place(waybill, '4', 'ann', inSteps)
    await dead(waybill, 4)
    broken.clear()
    const [follower] = await waybill.deadLetters.list({ reason: 'follower' })
    expect(await waybill.deadLetters.replay({ ids: [follower!.id] })).toMatchObject({ returned: 4, keys: 1 })
    await until('all of it', async () => (await effects('shipping')).length === 5)
    expect(await effects('shipping')).toEqual(['9', '1', '2', '3', '4'])
    await until('the drain', async () => {
      const { rows } = await client.query<{ n: number }>('select count(*)::int as n from waybill.outbox')
      return rows[0]!.n === 0
    })
    expect((await effects('billing')).toSorted()).toEqual(['1', '2', '3', '4', '9'])
  })
})

describe('held keys of a running service', () => {
  it('go on without their head once it is skipped', async () => {
    const waybill = instance({ maxAttempts: 1000, retryInitialMs: 60_000, retryMaxMs: 60_000 })
    consume(waybill, 'shipping', new Set(['1']))
    await waybill.start()
    await place(waybill, '1')
    await until('the key is held', async () => (await waybill.keys.list()).length === 1)
    await place(waybill, '2')
    await place(waybill, '3', 'bob')
    await until('another key', async () => (await effects('shipping')).includes('3'))
    expect(await effects('shipping')).toEqual(['3'])
    expect(await waybill.keys.skip({ channel: 'placed', key: 'ann' })).toMatchObject({ skipped: 1 })
    await until('the key goes on', async () => (await effects('shipping')).includes('2'))
    expect(await waybill.deadLetters.list()).toMatchObject([
      { key: 'ann', reason: 'skipped', consumer: 'shipping' },
    ])
  })

  it('are tried again at once where they are unblocked', async () => {
    const waybill = instance({ maxAttempts: 1000, retryInitialMs: 3_600_000, retryMaxMs: 3_600_000 })
    const broken = new Set(['1'])
    consume(waybill, 'shipping', broken)
    await waybill.start()
    await place(waybill, '1')
    await place(waybill, '2')
    await until('the key is held', async () => (await waybill.keys.list()).length === 1)
    broken.clear()
    expect(await waybill.keys.unblock({ key: 'ann' })).toEqual({ unblocked: 1, parked: 0 })
    await until('both', async () => (await effects('shipping')).length === 2)
    expect(await effects('shipping')).toEqual(['1', '2'])
  })
})
