import { randomUUID } from 'node:crypto'
import { Client } from 'pg'
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest'
import { createWaybill, defineChannel, defineConfig, type Waybill } from '../../src/index.ts'
import { localTransport } from '../../src/local.ts'
import { type PgClient, postgresStore } from '../../src/postgres.ts'
import type { Query } from '../../src/demo/database.ts'
import { createLoad } from '../../src/prove/load-tables.ts'
import { Ledger, type LedgerCall } from '../../src/prove/service/ledger.ts'
import { ledgerTexts } from '../../src/prove/service/ledger-tables.ts'
import type { HistoryNote } from '../../src/testing/history.ts'
import { pgExecutor } from '../../src/transactions/pg.ts'
import { postgresDatabase } from '../setup/servers.ts'

const placed = defineChannel<object>({ name: 'orders.placed', guarantee: 'effectively-once', key: () => 'k' })
const pair = {
  name: 'orders.placed/shipping',
  channel: placed.name,
  consumer: 'shipping',
  guarantee: placed.guarantee,
  isOrdered: true,
} as const

let client: Client
let waybill: Waybill<PgClient>

beforeAll(async () => {
  const { url } = await postgresDatabase()
  client = new Client({ connectionString: url })
  await client.connect()
  waybill = createWaybill(
    defineConfig({
      store: postgresStore({ connectionString: url }),
      transports: { local: localTransport() },
      channels: [placed],
      relay: false,
      logLevel: 'silent',
    }),
    {},
  )
  await waybill.migrate()
})

afterAll(async () => {
  await waybill[Symbol.asyncDispose]()
  await client.end()
})

/** Publishes with a handle, each time in a transaction of its own; resolves with the numbers that the ledger gave. */
async function numbersOf(handle: object, ids: readonly string[]): Promise<readonly number[]> {
  const query: Query = async (text, values) => (await client.query(text, values)).rows
  const place = { loadSchema: 'load', copies: null }
  await createLoad(query, place.loadSchema, [])
  onTestFinished(() => client.query('drop schema load cascade').then(() => {}))
  for (const text of ledgerTexts(place)) await query(text)
  const history = { note: () => {}, close: () => {}, [Symbol.dispose]: () => {} }
  const ledger = new Ledger({ ...place, schema: 'waybill', pairs: [pair], history, onLeft: () => {} })
  for (const id of ids) {
    await query('begin')
    await waybill.publish(handle, placed, {}, { id })
    await ledger.published(handle, placed.name, [id])
    await query('commit')
  }
  return (await query('select seq from load.orders order by seq')).map(({ seq }) => Number(seq))
}

describe('what a handler publishes', () => {
  it('takes one number of its key under one id, however often it comes: a number that nobody has looks like a loss', async () => {
    const again = randomUUID()
    expect(await numbersOf(client, [again, again, randomUUID()])).toEqual([1, 2])
  })

  it('is noted whatever the handle of its transaction is', async () => {
    expect(await numbersOf(pgExecutor(client), [randomUUID()])).toEqual([1])
  })
})

it('notes once of each run of a handler that it failed, or took longer than its transaction had', async () => {
  const noted: string[] = []
  const history = {
    note: ({ type, f, key, id }: HistoryNote) => void noted.push(`${type} ${f} ${key} ${id}`),
    close: () => {},
    [Symbol.dispose]: () => {},
  }
  const place = { loadSchema: 'load', copies: null, schema: 'waybill' }
  const ledger = new Ledger({ ...place, pairs: [pair], history, onLeft: () => {} })
  const late = new AbortController()
  const messages = [{ id: 'm1', key: 'k' }] as unknown as LedgerCall['messages']
  const tx = { query: async () => ({ rows: [] }) } as unknown as LedgerCall['tx']
  const call = { pair, messages, idempotencyKeys: ['m1'], tx, signal: late.signal }
  const begun = 'invoke handle orders.placed/shipping k m1'
  const failed = 'fail handle orders.placed/shipping k m1'
  await ledger.around(call, () => {})
  expect(noted.splice(0)).toEqual([begun])
  await expect(ledger.around(call, () => Promise.reject(new Error('deadlock detected')))).rejects.toThrow(
    'deadlock',
  )
  expect(noted.splice(0)).toEqual([begun, failed])
  const overtaken = ledger.around(call, async () => {
    late.abort()
    expect(noted).toEqual([begun, failed])
    throw new Error('no connection any more')
  })
  await expect(overtaken).rejects.toThrow('no connection')
  expect(noted).toEqual([begun, failed])
})
