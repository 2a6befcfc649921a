import { beforeAll, describe, expect, test } from 'vitest'
import type pg from 'pg'
import type { OutboxRow } from '../../../src/ports/outbox.ts'
import type { Store } from '../../../src/ports/store.ts'
import type { Fate } from '../../../src/ports/transport.ts'
import type { Relay } from '../../../src/relay/relay.ts'
import { until } from '../../../src/testing/until.ts'
import { postgresDatabase } from '../../setup/servers.ts'
import { smallRelay } from './small-relay.ts'
import { append, connect, message, openStore, openStreet, type Street } from './support.ts'
import { countingReads, Deliveries, runWorkload, seeded } from './workload.ts'

let url: string
let store: Store
let observer: pg.Client
let counted: ReturnType<typeof countingReads>

beforeAll(async () => {
  ;({ url } = await postgresDatabase())
  store = openStore({ connectionString: url })
  await store.schema.migrate()
  counted = countingReads(store)
  observer = await connect(url)
})

/** A destination in memory that takes what it is sent, or refuses some of it. */
class Destination {
  readonly deliveries = new Deliveries()
  rejected = 0
  readonly #isRefused: (row: OutboxRow) => boolean

  constructor(isRefused: (row: OutboxRow) => boolean) {
    this.#isRefused = isRefused
  }

  async send(rows: readonly OutboxRow[]): Promise<readonly Fate[]> {
    await new Promise((resolve) => setImmediate(resolve))
    // As a broker does that orders a batch: after a failure the rest of its key fails with it.
    const failed = new Set<string | null>()
    return rows.map((row): Fate => {
      if (failed.has(row.key) || this.#isRefused(row)) {
        failed.add(row.key)
        this.rejected += 1
        return { outcome: 'rejected', scope: 'message', retryable: true, code: 'E', reason: 'no' }
      }
      this.deliveries.add(row)
      return { outcome: 'confirmed' }
    })
  }
}

function relayOn(street: Street, sender: Destination): Relay {
  return smallRelay(street, { store: counted.store, sender })
}

async function waiting(street: Street): Promise<number> {
  const { rows } = await observer.query(
    `select count(*)::int as n from waybill.outbox where channel = $1 and key <> 'idle'`,
    [street.channel],
  )
  return rows[0].n
}

describe('a relay on a real outbox, while many write and one transaction stays open', () => {
  test.for([
    { refuses: 'nothing', isRefused: () => false },
    { refuses: 'one message in ten', isRefused: (random: () => number) => random() < 0.1 },
  ])(
    'delivers each message once and each key in commit order where the broker refuses $refuses',
    async ({ isRefused }) => {
      const street = await openStreet(url, store)
      const random = seeded(11)
      const destination = new Destination(() => isRefused(random))
      const idle = await connect(url)
      await idle.query('begin')
      await append(store, idle, street.channel, message('idle', '1'))
      const relay = relayOn(street, destination)
      await relay.start()
      const written = await runWorkload({
        url,
        store,
        street,
        seed: 6000,
        reads: () => counted.reads(),
        rounds: 25,
      })
      await until('an empty outbox, but for the open transaction', async () => (await waiting(street)) === 0)
      const { expected, ...faults } = destination.deliveries.judge(written)
      expect(faults).toEqual({ lost: 0, twice: 0, outOfOrder: 0 })
      expect(expected).toBeGreaterThan(300)
      expect(relay.status()!.counters.disorder).toBe(0)
      expect(relay.status()!.counters.lateRows).toBeGreaterThan(0)
      expect(destination.rejected > 0).toBe(isRefused(() => 0))
      const before = destination.deliveries.total
      await idle.query('commit')
      await until('the message that was open', () => destination.deliveries.total === before + 1)
      await relay.stop()
    },
  )

  test('hands over to another in the middle of it, and still nothing is lost, twice or out of order', async () => {
    const street = await openStreet(url, store, { partitions: 8 })
    const destination = new Destination(() => false)
    const [first, second] = [relayOn(street, destination), relayOn(street, destination)]
    await first.start()
    const writing = runWorkload({ url, store, street, seed: 7000, reads: () => counted.reads(), rounds: 25 })
    await until('some deliveries', () => destination.deliveries.total > 50)
    await second.start()
    await until('a share for the second', () => (second.status()?.partitions.length ?? 0) > 0)
    await first.stop()
    const written = await writing
    await until('an empty outbox', async () => (await waiting(street)) === 0)
    const { expected, ...faults } = destination.deliveries.judge(written)
    expect(faults).toEqual({ lost: 0, twice: 0, outOfOrder: 0 })
    expect(expected).toBeGreaterThan(300)
    await second.stop()
  })
})
