import { beforeAll, expect, test } from 'vitest'
import type pg from 'pg'
import { systemClock } from '../../../src/kernel/clock.ts'
import type { LeaseSession } from '../../../src/ports/leases.ts'
import type { Store } from '../../../src/ports/store.ts'
import { until } from '../../../src/testing/until.ts'
import { FakeRelay } from '../../fakes/relay.ts'
import { postgresDatabase } from '../../setup/servers.ts'
import { connect, openStore, openStreet } from './support.ts'

let url: string
let store: Store
let observer: pg.Client

const leaseMs = 1000

beforeAll(async () => {
  ;({ url } = await postgresDatabase())
  store = openStore({ connectionString: url }, { leaseMs })
  await store.schema.migrate()
  observer = await connect(url)
})

test('relays share a lane with a difference of one at most, through joins, clean leaves and lost sessions (P6)', async () => {
  const { lane, partitions } = await openStreet(url, store, { partitions: 16 })
  const relays: FakeRelay[] = []
  const join = (): void => {
    // One that was killed does not join again.
    const open = (isFrozen: () => boolean): Promise<LeaseSession> =>
      isFrozen() ? new Promise(() => {}) : store.openLeases(lane)
    relays.push(new FakeRelay({ lane, leaseMs, clock: systemClock, open, drainMs: () => 5 }))
  }
  /** What they believe to hold, and what the table says, which is each partition once. */
  const shares = async (expected: readonly number[]): Promise<void> => {
    await until(`the shares ${expected.join(', ')}`, async () => {
      const held = relays.map((relay) => relay.held.length).toSorted((a, b) => b - a)
      if (held.join() !== expected.join()) return false
      const { rows } = await observer.query(
        `select count(*)::int as n from waybill.partitions
         where transport = $1 and owner is not null group by owner order by 1 desc`,
        [lane.transport],
      )
      return rows.map(({ n }) => n).join() === expected.join()
    })
    const all = relays.flatMap((relay) => relay.held.map(({ partition }) => partition))
    expect(all.toSorted((a, b) => a - b)).toEqual(partitions)
  }

  join()
  await shares([16])
  join()
  await shares([8, 8])
  join()
  await shares([6, 5, 5])
  join()
  join()
  await shares([4, 3, 3, 3, 3])
  await relays.shift()!.stop()
  await shares([4, 4, 4, 4])
  // A killed process: the server sees its connection gone, and nobody renews its leases.
  relays.shift()!.freeze()
  await observer.query(
    `select pg_terminate_backend(k.pid) from pg_locks k join waybill.relays r
       on k.classid = (r.lock_key >> 32 & 4294967295)::oid and k.objid = (r.lock_key & 4294967295)::oid
     where k.locktype = 'advisory' and r.id =
       (select id from waybill.relays where transport = $1 order by started_at limit 1)`,
    [lane.transport],
  )
  await shares([6, 5, 5])
  await relays.pop()!.stop()
  await shares([8, 8])
  await Promise.all(relays.map((relay) => relay.stop()))
})
