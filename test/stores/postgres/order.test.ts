import { beforeAll, describe, expect, test } from 'vitest'
import type pg from 'pg'
import { newMessageId } from '../../../src/kernel/ids.ts'
import type { Outbox, OutboxRow } from '../../../src/ports/outbox.ts'
import type { Store } from '../../../src/ports/store.ts'
import { postgresDatabase } from '../../setup/servers.ts'
import { append, connect, message, openStore, openStreet, type Street, TestReader } from './support.ts'
import { Deliveries, runWorkload, type Verdict } from './workload.ts'

let url: string
let store: Store
let observer: pg.Client

beforeAll(async () => {
  ;({ url } = await postgresDatabase())
  store = openStore({ connectionString: url })
  await store.schema.migrate()
  observer = await connect(url)
})

/** A way to read: the rows it hands on, in order. */
type Scheme = (outbox: Outbox, street: Street) => () => Promise<readonly OutboxRow[]>

const wide = { upperLimit: 10_000, lateLimit: 10_000 }

/** The protocol (PROTOCOLS 4): the floors, and the snapshot of the last read. */
const floorAndSnapshot: Scheme = (outbox, street) => {
  const reader = new TestReader(outbox, street)
  return () => reader.read(wide)
}

/** `id > last`: what is above the floor and nothing else. */
const floorOnly: Scheme = (outbox, street) => {
  const reader = new TestReader(outbox, street)
  return () => reader.read({ ...wide, last: null })
}

/** The floor, and every tenth read everything that was not seen yet. */
const floorAndSweep: Scheme = (outbox, street) => {
  const reader = new TestReader(outbox, street)
  const seen = new Set<string>()
  let reads = 0
  return async () => {
    reads += 1
    const partitions = street.partitions.map((partition) => ({ partition, floor: 0n, mark: null }))
    const rows = await reader.read({ ...wide, last: null, ...(reads % 10 === 0 ? { partitions } : {}) })
    const fresh = rows.filter((row) => !seen.has(row.id))
    for (const row of fresh) seen.add(row.id)
    return fresh
  }
}

/** Runs the workload under a reader. A transaction with a row of its own stays open meanwhile. */
async function judge(scheme: Scheme, seed: number): Promise<Verdict & { late: number }> {
  const street = await openStreet(url, store)
  const outbox = await store.openOutbox(street.lane)
  const idle = await connect(url)
  await idle.query('begin')
  await append(store, idle, street.channel, message('idle', '1'))
  const read = scheme(outbox, street)
  const deliveries = new Deliveries()
  let reads = 0
  let late = 0
  const step = async (): Promise<number> => {
    const rows = await read()
    for (const row of rows) {
      expect(row.key, 'a row of a transaction that is open').not.toBe('idle')
      deliveries.add(row)
      if (row.origin === 'late') late += 1
    }
    reads += 1
    return rows.length
  }
  let isWriting = true
  const writing = runWorkload({ url, store, street, seed, reads: () => reads }).finally(() => {
    isWriting = false
  })
  while (isWriting) await step()
  // Twelve, so that a sweep is among them.
  for (let i = 0; i < 12; i++) await step()
  const verdict = deliveries.judge(await writing)
  await idle.query('commit')
  await outbox.close()
  return { ...verdict, late }
}

describe('a reader, while many write and one transaction stays open', () => {
  test.for([1, 2, 3])(
    'by floor and snapshot loses nothing, brings nothing twice and keeps each key in commit order, seed %i (P1, P2, W10)',
    async (seed) => {
      const { expected, late, ...faults } = await judge(floorAndSnapshot, seed * 1000)
      expect(faults).toEqual({ lost: 0, twice: 0, outOfOrder: 0 })
      expect(expected).toBeGreaterThan(500)
      expect(late).toBeGreaterThan(20)
    },
  )

  test('by `id > last` loses messages: this harness shows it', async () => {
    expect((await judge(floorOnly, 4000)).lost).toBeGreaterThan(0)
  })

  test('by a floor with a sweep loses none and breaks the order: this harness shows it', async () => {
    const { lost, outOfOrder } = await judge(floorAndSweep, 5000)
    expect(lost).toBe(0)
    expect(outOfOrder).toBeGreaterThan(0)
  })
})

describe('the order of a key', () => {
  /** K's low number stays open; other keys are read past it; then K's low number and its successor commit together. */
  async function heldOpen(scheme: Scheme): Promise<(string | null)[]> {
    const street = await openStreet(url, store, { partitions: 1 })
    const outbox = await store.openOutbox(street.lane)
    const read = scheme(outbox, street)
    const slow = await connect(url)
    await slow.query('begin')
    await append(store, slow, street.channel, message('K', 'low'))
    await observer.query('begin')
    await append(store, observer, street.channel, message('other'))
    await observer.query('commit')
    await read()
    await append(store, slow, street.channel, message('K', 'successor'))
    await slow.query('commit')
    const texts: string[] = []
    for (let i = 0; i < 12; i++) {
      const rows = await read()
      texts.push(...rows.map((row) => Buffer.from(row.payload).toString()))
    }
    await outbox.close()
    return texts
  }

  test('holds where a low number commits late together with its successor; the lesser schemes fail exactly here', async () => {
    expect(await heldOpen(floorAndSnapshot)).toEqual(['low', 'successor'])
    expect(await heldOpen(floorOnly)).toEqual(['successor'])
    expect(await heldOpen(floorAndSweep)).toEqual(['successor', 'low'])
  })
})

test('rows that were inserted by hand, without any lock, are lost by no read either', async () => {
  const street = await openStreet(url, store, { partitions: 1 })
  const outbox = await store.openOutbox(street.lane)
  const reader = new TestReader(outbox, street)
  const insert = `insert into waybill.outbox (partition, id, channel, key, payload) values ($1, $2, $3, 'k', '1')`
  const ids = Array.from({ length: 6 }, newMessageId)
  const clients = await Promise.all(ids.map(() => connect(url)))
  const found: string[] = []
  for (const [i, client] of clients.entries()) {
    await client.query('begin')
    await client.query(insert, [street.first, ids[i], street.channel])
  }
  // The last number commits first, and each commit is followed by a read.
  for (const client of clients.toReversed()) {
    await client.query('commit')
    found.push(...(await reader.read()).map((row) => row.id))
  }
  expect(found).toEqual(ids.toReversed())
  await outbox.close()
})
