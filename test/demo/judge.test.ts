import { randomUUID } from 'node:crypto'
import { Client } from 'pg'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import type { Query } from '../../src/demo/database.ts'
import { findFaults, judge, type Conduct, type Findings } from '../../src/demo/judge.ts'
import { createShop, placeOrder, recordAttempt, shipOrder } from '../../src/demo/schema.ts'
import { postgresDatabase } from '../setup/servers.ts'

const shop = 'demo_shop'
const sound: Conduct = { kills: 3, isKilling: true, isDrained: true }
let client: Client
let query: Query

beforeAll(async () => {
  client = new Client({ connectionString: (await postgresDatabase()).url })
  await client.connect()
  query = async (text, values) => (await client.query<Record<string, unknown>>(text, values)).rows
})
beforeEach(async () => {
  await query(`drop schema if exists ${shop} cascade`)
  await createShop(query, shop, 3)
})
afterAll(() => client.end())

async function attempt(customer: number): Promise<string> {
  const id = randomUUID()
  await query(recordAttempt(shop), [[id], customer])
  return id
}

async function place(customer: number): Promise<string> {
  const id = await attempt(customer)
  await query(placeOrder(shop), [id, customer])
  return id
}

const ship = (order: string, customer: number): Promise<unknown> =>
  query(shipOrder(shop), [order, customer, 'test'])

/** Two customers with two orders each, all shipped in order, and one attempt that rolled back. */
async function soundRun(): Promise<readonly string[]> {
  const orders = [await place(1), await place(1), await place(2), await place(2)]
  await attempt(3)
  await ship(orders[2]!, 2)
  await ship(orders[0]!, 1)
  await ship(orders[1]!, 1)
  await ship(orders[3]!, 2)
  return orders
}

async function verdict(
  conduct: Conduct = sound,
): Promise<{ findings: Findings; reasons: readonly string[] }> {
  const findings = await findFaults(query, shop)
  const { reasons, verdict } = judge(findings, conduct)
  expect(verdict).toBe(reasons.length === 0 ? 'valid' : 'invalid')
  return { findings, reasons }
}

describe('the judge of the demo', () => {
  it('finds a sound run valid, and has looked at every order of it', async () => {
    await soundRun()
    expect(await verdict()).toEqual({
      findings: {
        attempts: 5,
        counted: 4,
        orders: 4,
        shipments: 4,
        lost: 0,
        duplicated: 0,
        ghosts: 0,
        outOfOrder: 0,
      },
      reasons: [],
    })
  })

  it('finds an order that was never shipped', async () => {
    await soundRun()
    await place(3)
    const { findings, reasons } = await verdict()
    expect(findings).toMatchObject({ lost: 1, duplicated: 0, ghosts: 0, outOfOrder: 0 })
    expect(reasons).toEqual(['1 committed orders were never shipped'])
  })

  it('counts every shipment beyond the first of an order', async () => {
    const orders = await soundRun()
    await ship(orders[3]!, 2)
    await ship(orders[3]!, 2)
    const { findings, reasons } = await verdict()
    expect(findings).toMatchObject({ lost: 0, duplicated: 2, ghosts: 0 })
    expect(reasons).toEqual(['2 shipments too many'])
  })

  it('judges the order by first shipments: a late copy is a duplicate and nothing else', async () => {
    const orders = await soundRun()
    await ship(orders[0]!, 1)
    expect((await verdict()).findings).toMatchObject({ duplicated: 1, outOfOrder: 0 })
  })

  it('finds a shipment of an order that rolled back, and of one that nobody ever tried', async () => {
    await soundRun()
    await ship(await attempt(3), 3)
    await ship(randomUUID(), 3)
    const { findings, reasons } = await verdict()
    expect(findings).toMatchObject({ lost: 0, duplicated: 0, ghosts: 2 })
    expect(reasons).toEqual(['2 shipments of orders that were rolled back'])
  })

  it('finds each order that was shipped after a later one of its customer, and of no other customer', async () => {
    await attempt(3)
    const [first, second, third] = [await place(1), await place(1), await place(1)]
    const other = await place(2)
    await ship(third, 1)
    await ship(other, 2)
    await ship(first, 1)
    await ship(second, 1)
    const { findings, reasons } = await verdict()
    expect(findings).toMatchObject({ lost: 0, outOfOrder: 2 })
    expect(reasons).toEqual(['2 orders were shipped after a later order of their customer'])
  })

  it('notices orders that the customers counted and nobody could look at', async () => {
    const orders = await soundRun()
    await query(`delete from ${shop}.orders where id = $1`, [orders[0]])
    await query(`delete from ${shop}.shipments where order_id = $1`, [orders[0]])
    expect((await verdict()).reasons).toEqual([
      "4 orders were committed by their customers' counters, 3 were looked at",
    ])
  })
})

describe('a verdict that would mean nothing', () => {
  const clean: Findings = {
    attempts: 10,
    counted: 8,
    orders: 8,
    shipments: 8,
    lost: 0,
    duplicated: 0,
    ghosts: 0,
    outOfOrder: 0,
  }

  it.each([
    ['no orders', { ...clean, counted: 0, orders: 0, shipments: 0 }, sound, 'no order was placed'],
    ['no roll-backs', { ...clean, attempts: 8 }, sound, 'no order was rolled back'],
    ['no kills', clean, { ...sound, kills: 0 }, 'no process was killed'],
    ['no end of the drain', clean, { ...sound, isDrained: false }, 'messages were still under way'],
    ['shipments that do not add up', { ...clean, shipments: 9 }, sound, 'do not add up'],
  ])('is invalid: %s', (_what, findings, conduct, reason) => {
    const { verdict, reasons } = judge(findings, conduct)
    expect(verdict).toBe('invalid')
    expect(reasons).toEqual([expect.stringContaining(reason)])
  })

  it('asks for no kills where nobody was to be killed', () => {
    expect(judge(clean, { kills: 0, isKilling: false, isDrained: true })).toEqual({
      verdict: 'valid',
      reasons: [],
    })
  })
})
