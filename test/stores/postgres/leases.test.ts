import { beforeAll, describe, expect, test } from 'vitest'
import type pg from 'pg'
import type { LeaseSession } from '../../../src/ports/leases.ts'
import type { Lane, LeasedPartition } from '../../../src/ports/lane.ts'
import type { Store } from '../../../src/ports/store.ts'
import { spawnChild } from '../../../src/testing/child.ts'
import { until } from '../../../src/testing/until.ts'
import { pgExecutor } from '../../../src/transactions/pg.ts'
import { postgresDatabase } from '../../setup/servers.ts'
import { connect, openStore, openStreet } from './support.ts'

let url: string
let store: Store
let observer: pg.Client

beforeAll(async () => {
  ;({ url } = await postgresDatabase())
  store = openStore({ connectionString: url })
  await store.schema.migrate()
  observer = await connect(url)
})

async function join(lane: Lane, from: Store = store): Promise<LeaseSession> {
  return await from.openLeases(lane)
}

async function end(lane: Lane, ...partitions: number[]): Promise<void> {
  await observer.query(
    `update waybill.partitions set lease_until = clock_timestamp() - interval '1 ms'
     where transport = $1 and consumer = $2 and partition = any($3)`,
    [lane.transport, lane.consumer, partitions],
  )
}

function numbers(held: readonly LeasedPartition[]): number[] {
  return held.map(({ partition }) => partition).toSorted((a, b) => a - b)
}

/** SIGKILL as the server sees it: the connection is gone, and no goodbye was said. */
async function cutSessions(): Promise<void> {
  await observer.query(
    `select pg_terminate_backend(pid, 5000) from pg_stat_activity
     where application_name = 'test leases' and datname = current_database()`,
  )
}

describe('a lease under which a handler runs', () => {
  test('is held against claims, and not against renewals, until the transaction ends; an older one is refused', async () => {
    const { lane, partitions } = await openStreet(url, store, { partitions: 2 })
    const [one, two] = [await join(lane), await join(lane)]
    const held = await one.claim(2)
    const lease = held.find(({ partition }) => partition === partitions[0])!
    const holds = async (client: pg.Client, of: LeasedPartition): Promise<boolean> =>
      await store.inbox.holdsLease(pgExecutor(client), lane.consumer, of)
    const [client, later] = [await connect(url), await connect(url)]
    await client.query('begin')
    expect(await holds(client, lease)).toBe(true)
    expect(await holds(client, { ...lease, epoch: lease.epoch - 1n })).toBe(false)
    expect(numbers(await one.renew(held, false))).toEqual(partitions)
    await end(lane, ...partitions)
    expect(numbers(await two.claim(2))).toEqual([partitions[1]])
    await client.query('commit')
    const [next] = await two.claim(2)
    expect(next).toEqual({ partition: partitions[0], epoch: lease.epoch + 1n })
    expect([await holds(later, lease), await holds(later, next!)]).toEqual([false, true])
    await one.close()
    await two.close()
  })
})

describe('a claim', () => {
  test('takes at most what it may, and of what is free only', async () => {
    const { lane, partitions } = await openStreet(url, store, { partitions: 5 })
    const [one, two] = [await join(lane), await join(lane)]
    const first = await one.claim(2)
    expect(first).toHaveLength(2)
    const second = await two.claim(10)
    expect([...numbers(first), ...numbers(second)].toSorted((a, b) => a - b)).toEqual(partitions)
    expect(await one.claim(10)).toEqual([])
    expect(await two.claim(0)).toEqual([])
    await one.close()
    await two.close()
  })

  test('gives each partition to one of many that claim at the same moment, and waits for none of them', async () => {
    const { lane, partitions } = await openStreet(url, store, { partitions: 24 })
    const sessions = await Promise.all(Array.from({ length: 6 }, () => join(lane)))
    for (let round = 0; round < 10; round++) {
      const gained = await Promise.all(sessions.map((session) => session.claim(7)))
      for (let i = 0; gained.flat().length < 24 && i < 24; i++) gained.push(await sessions[i % 6]!.claim(7))
      expect(numbers(gained.flat())).toEqual(partitions)
      await end(lane, ...partitions)
    }
    await Promise.all(sessions.map((session) => session.close()))
  })

  test('raises the epoch, whoever makes it, and nothing ever lowers it', async () => {
    const { lane, first } = await openStreet(url, store, { partitions: 1 })
    const epochs: bigint[] = []
    for (let i = 0; i < 5; i++) {
      const session = await join(lane)
      const [held] = await session.claim(1)
      epochs.push(held!.epoch)
      if (i % 2 === 0) await session.release([held!])
      await session.close()
      await store.schema.register(
        [{ channel: `x${first}`, transport: lane.transport, address: 'x', ordered: true, maxBytes: 1 }],
        [],
        1,
      )
    }
    expect(epochs).toEqual([1n, 2n, 3n, 4n, 5n])
  })

  test('takes over when the lease has ended by the clock of the database, while the owner lives (P6, R2)', async () => {
    const { lane, first } = await openStreet(url, store, { partitions: 2 })
    const [owner, other] = [await join(lane), await join(lane)]
    const held = await owner.claim(2)
    expect(await other.claim(2)).toEqual([])
    await end(lane, first)
    expect(await other.claim(2)).toEqual([{ partition: first, epoch: 2n }])
    expect(numbers(await owner.renew(held, false))).toEqual([first + 1])
    await owner.close()
    await other.close()
  })

  test('takes over at once from an owner whose session is gone, however long its lease (P6)', async () => {
    const { lane, partitions } = await openStreet(url, store, { partitions: 3 })
    const child = spawnChild({
      script: new URL('lease-holder.ts', import.meta.url).pathname,
      args: [url, lane.transport],
    })
    await child.waitForLine((line) => line === 'holds 3')
    const peer = await join(lane)
    expect(await peer.claim(3)).toEqual([])
    expect(await peer.survey()).toMatchObject({ relays: 2, partitions: 3 })
    await child.kill()
    const gained = await until('the partitions of the dead', async () => {
      const claimed = await peer.claim(3)
      return claimed.length > 0 && claimed
    })
    expect(numbers(gained)).toEqual(partitions)
    expect(await peer.survey()).toMatchObject({ relays: 1, partitions: 3 })
    const { rows } = await observer.query('select 1 from waybill.relays where transport = $1', [
      lane.transport,
    ])
    expect(rows).toHaveLength(1)
    await peer.close()
  })

  test('keeps to its lane', async () => {
    const street = await openStreet(url, store, { partitions: 2, consumers: ['one', 'two'] })
    const [one, two] = [
      await join({ transport: street.transport, consumer: 'one' }),
      await join({ transport: street.transport, consumer: 'two' }),
    ]
    const held = await one.claim(9)
    expect(numbers(held)).toEqual(street.partitions)
    expect(numbers(await two.claim(9))).toEqual(street.partitions)
    expect(await one.survey()).toMatchObject({ relays: 1, partitions: 2 })
    await two.close()
    // The other lane's partitions bear the same numbers and epochs.
    expect(await one.renew(held, false)).toHaveLength(2)
    await one.close()
  })
})

describe('a renewal', () => {
  test('puts off the end of the leases and of the registration', async () => {
    const { lane, first } = await openStreet(url, store, { partitions: 1 })
    const session = await join(lane)
    const held = await session.claim(1)
    await observer.query('update waybill.partitions set lease_until = now() where partition = $1', [first])
    await observer.query('update waybill.relays set lease_until = now() where id = $1', [session.relayId])
    expect(await session.survey()).toMatchObject({ relays: 0, partitions: 1 })
    expect(await session.renew(held, false)).toEqual(held)
    expect(await session.survey()).toMatchObject({ relays: 1, partitions: 1 })
    const { rows } = await observer.query(
      `select extract(epoch from lease_until - clock_timestamp())::float8 as left from waybill.partitions
       where partition = $1`,
      [first],
    )
    expect(rows[0].left).toBeGreaterThan(5)
    expect(rows[0].left).toBeLessThanOrEqual(10)
    await session.close()
  })

  test('leaves out what is lost: another epoch, another owner, no such partition', async () => {
    const { lane, first } = await openStreet(url, store, { partitions: 2 })
    const [one, two] = [await join(lane), await join(lane)]
    const [mine] = await one.claim(1)
    const [theirs] = await two.claim(1)
    const asked = [{ ...mine!, epoch: mine!.epoch + 1n }, theirs!, { partition: 999_999, epoch: 1n }]
    expect(await one.renew(asked, false)).toEqual([])
    expect(await one.renew([], false)).toEqual([])
    expect(mine!.partition).toBe(first)
    await one.close()
    await two.close()
  })
})

describe('a release', () => {
  test("gives back at once, and only what is one's own and of this epoch", async () => {
    const { lane } = await openStreet(url, store, { partitions: 2 })
    const [one, two] = [await join(lane), await join(lane)]
    const held = await one.claim(2)
    await two.release(held)
    await one.release(held.map((each) => ({ ...each, epoch: each.epoch - 1n })))
    expect(await two.claim(2)).toEqual([])
    await one.release(held.slice(0, 1))
    expect(numbers(await two.claim(2))).toEqual(numbers(held.slice(0, 1)))
    await one.close()
    expect(numbers(await two.claim(2))).toEqual(numbers(held.slice(1)))
    await two.close()
  })
})

describe('a lease of its own that has ended', () => {
  test('is claimed again where its release failed and nobody else is there (P5)', async () => {
    const { lane, partitions } = await openStreet(url, store, { partitions: 2 })
    const session = await join(lane)
    const held = await session.claim(2)
    expect(await session.claim(2)).toEqual([])
    await end(lane, partitions[0]!)
    const again = await session.claim(2)
    expect(numbers(again)).toEqual([partitions[0]])
    const before = held.find(({ partition }) => partition === partitions[0])!
    expect(again[0]!.epoch).toBe(before.epoch + 1n)
    await session.close()
  })
})

describe('a survey', () => {
  test('counts the relays of the lane that live: not those whose lease has ended, nor those whose session is gone', async () => {
    const { lane } = await openStreet(url, store, { partitions: 4 })
    const sessions = [await join(lane), await join(lane), await join(lane)]
    const survey = (): Promise<unknown> => sessions[0]!.survey()
    expect(await survey()).toMatchObject({ relays: 3, partitions: 4 })
    await observer.query(`update waybill.relays set lease_until = now() - interval '1 s' where id = $1`, [
      sessions[1]!.relayId,
    ])
    expect(await survey()).toMatchObject({ relays: 2, partitions: 4 })
    await sessions[2]!.close()
    expect(await survey()).toMatchObject({ relays: 1, partitions: 4 })
    // A registration without a lock: a relay that died a moment ago.
    await observer.query(
      `insert into waybill.relays (id, transport, lock_key, host, pid, application, lease_until)
       values (gen_random_uuid(), $1, 4711, 'h', 1, 'a', now() + interval '1 hour')`,
      [lane.transport],
    )
    expect(await survey()).toMatchObject({ relays: 1, partitions: 4 })
    await sessions[0]!.close()
    await sessions[1]!.close()
  })

  test('ranks the relays in one order, that of their joining, and leaves out one that leaves', async () => {
    const { lane } = await openStreet(url, store, { partitions: 4 })
    const sessions = [await join(lane), await join(lane), await join(lane)]
    const surveys = (): Promise<unknown> => Promise.all(sessions.map((session) => session.survey()))
    const survey = { relays: 3, partitions: 4, closed: [] }
    expect(await surveys()).toEqual([
      { ...survey, rank: 0 },
      { ...survey, rank: 1 },
      { ...survey, rank: 2 },
    ])
    const [held] = await sessions[1]!.claim(1)
    expect(await sessions[1]!.renew([held!], true)).toEqual([held])
    expect(await surveys()).toMatchObject([{ relays: 2, rank: 0 }, { relays: 2 }, { relays: 2, rank: 1 }])
    // It still has what it has not given back.
    expect(await sessions[0]!.claim(4)).toHaveLength(3)
    for (const session of sessions) await session.close()
  })
})

describe('a lease session whose connection is lost', () => {
  test('throws from every method, for good: it is never made anew under the same id (R3)', async () => {
    const { lane } = await openStreet(url, store, { partitions: 1 })
    const session = await join(lane)
    const held = await session.claim(1)
    await cutSessions()
    const calls = [
      () => session.renew(held, false),
      () => session.claim(1),
      () => session.survey(),
      () => session.release(held),
      () => session.renew(held, false),
    ]
    for (const call of calls) await expect(call()).rejects.toMatchObject({ code: 'WB_STORE_UNREACHABLE' })
    const next = await join(lane)
    expect(next.relayId).not.toBe(session.relayId)
    expect(await next.claim(1)).toEqual([{ partition: held[0]!.partition, epoch: held[0]!.epoch + 1n }])
    await session.close()
    await next.close()
  })

  test('throws where it cannot be opened', async () => {
    const unreachable = openStore({ connectionString: 'postgres://postgres@127.0.0.1:1/none' })
    await expect(unreachable.openLeases({ transport: 't', consumer: '' })).rejects.toMatchObject({
      code: 'WB_STORE_UNREACHABLE',
    })
  })
})
