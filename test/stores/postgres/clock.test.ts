import pg from 'pg'
import { beforeAll, describe, expect, test, vi } from 'vitest'
import { newMessageId } from '../../../src/kernel/ids.ts'
import type { Store } from '../../../src/ports/store.ts'
import { postgresDatabase } from '../../setup/servers.ts'
import { connect, context, openStore, openStreet } from './support.ts'

const hour = 3_600_000
const day = 24 * hour

let url: string
let observer: pg.Client

beforeAll(async () => {
  ;({ url } = await postgresDatabase())
  await openStore({ connectionString: url }).schema.migrate()
  observer = await connect(url)
})

/** The wall clock of this process, and of nobody else, is an hour ahead. */
function clockAhead(): Disposable {
  vi.useFakeTimers({ toFake: ['Date'], now: Date.now() + hour })
  return { [Symbol.dispose]: () => void vi.useRealTimers() }
}

/** Statements that say `clock_timestamp()` and match are told the time by this process: a store that goes by its own clock. */
function byOwnClock(statements: RegExp): Disposable {
  const client = pg.Client.prototype as { query: (this: unknown, ...given: unknown[]) => unknown }
  const { query } = client
  client.query = function (...given) {
    const [statement, ...more] = given as [{ readonly text?: unknown } | undefined]
    if (typeof statement?.text !== 'string' || !statements.test(statement.text))
      return query.apply(this, given)
    const text = statement.text.replaceAll('clock_timestamp()', `to_timestamp(${Date.now() / 1000})`)
    // The name would be that of the other text.
    return query.apply(this, [{ ...statement, text, name: '' }, ...more])
  }
  return { [Symbol.dispose]: () => void (client.query = query) }
}

/** How many partitions a relay takes that another has just leased, and how long its own leases are to last. */
async function leases(store: Store): Promise<{ readonly early: number; readonly lastMs: number }> {
  const { lane } = await openStreet(url, store, { partitions: 4 })
  const owner = await store.openLeases(lane)
  const held = await owner.claim(2)
  using _clock = clockAhead()
  const other = await store.openLeases(lane)
  const own = await other.claim(4)
  const { rows } = await observer.query<{ ms: number }>(
    `select extract(epoch from max(lease_until) - clock_timestamp())::float8 * 1000 as ms from waybill.partitions
     where transport = $1 and partition = any($2)`,
    [lane.transport, own.map(({ partition }) => partition)],
  )
  await other.close()
  await owner.close()
  const early = own.filter(({ partition }) => held.some((each) => each.partition === partition))
  return { early: early.length, lastMs: rows[0]!.ms }
}

/** How many inbox rows a purge deletes that are half an hour younger than it may. */
async function purged(store: Store): Promise<number> {
  await observer.query('truncate waybill.inbox')
  await observer.query(
    `insert into waybill.inbox (consumer, message_id, processed_at) values ('clock', $1, now() - $2 * interval '1 ms')`,
    [newMessageId(), day - hour / 2],
  )
  using _clock = clockAhead()
  return await store.inbox.purge(day, 100)
}

describe('a process whose clock is an hour ahead (F27)', () => {
  test('takes no lease early, and its own end in time', async () => {
    const { early, lastMs } = await leases(openStore({ connectionString: url }))
    expect(early).toBe(0)
    expect(lastMs).toBeGreaterThan(0)
    expect(lastMs).toBeLessThanOrEqual(context.leaseMs)
  })

  test('purges nothing early', async () => {
    expect(await purged(openStore({ connectionString: url }))).toBe(0)
  })

  test('is found out where leases go by it', async () => {
    using _clock = byOwnClock(/lease_until/u)
    const { early, lastMs } = await leases(openStore({ connectionString: url }))
    expect(early).toBe(2)
    expect(lastMs).toBeGreaterThan(hour / 2)
  })

  test('is found out where the purge goes by it', async () => {
    using _clock = byOwnClock(/cutoff/u)
    expect(await purged(openStore({ connectionString: url }))).toBe(1)
  })
})
