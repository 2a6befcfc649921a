import { expect, test } from 'vitest'
import { systemClock } from '../../../src/kernel/clock.ts'
import { isWaybillError } from '../../../src/kernel/errors.ts'
import type { OutboxRow } from '../../../src/ports/outbox.ts'
import type { Store } from '../../../src/ports/store.ts'
import type { Fate } from '../../../src/ports/transport.ts'
import type { Relay } from '../../../src/relay/relay.ts'
import { until } from '../../../src/testing/until.ts'
import { postgresDatabase } from '../../setup/servers.ts'
import { smallRelay } from './small-relay.ts'
import { append, connect, message, openStore, openStreet, type Street } from './support.ts'
import { countingReads, Deliveries, runWorkload } from './workload.ts'

function relayOn(
  store: Store,
  street: Street,
  deliver: (rows: readonly OutboxRow[]) => Promise<void>,
): Relay {
  const send = async (rows: readonly OutboxRow[]): Promise<readonly Fate[]> => {
    await deliver(rows)
    return rows.map(() => ({ outcome: 'confirmed' }))
  }
  return smallRelay(street, { store, sender: { send }, leaseMs: 4000 })
}

test('two relays deliver each message once and each key in commit order while 4 partitions become 16 and then 5', async () => {
  const { url } = await postgresDatabase()
  const store = openStore({ connectionString: url })
  await store.schema.migrate()
  const observer = await connect(url)
  const street = await openStreet(url, store, { partitions: 4 })
  const { store: counted, reads } = countingReads(store)
  const deliveries = new Deliveries()
  const used = new Set<number>()
  // What stands in the layout that is to become the old one takes its time, so that much of it waits when the new one is there, and a
  // new message that did not wait for it would be first.
  let slowBelow = street.first + 4
  const deliver = async (rows: readonly OutboxRow[]): Promise<void> => {
    await systemClock.sleep(rows.some(({ partition }) => partition < slowBelow) ? 40 : 0)
    for (const row of rows) {
      used.add(row.partition)
      deliveries.add(row)
    }
  }
  const relays = [relayOn(counted, street, deliver), relayOn(counted, street, deliver)]
  for (const relay of relays) await relay.start()

  const writing = runWorkload({ url, store, street, seed: 8000, reads, rounds: 60 })
  // Beside them one whose snapshots are as old as its transactions, that writes several messages at once, and goes on until the end.
  const own = new Map<string, number>()
  let conflicts = 0
  let isChanged = false
  const repeatable = (async () => {
    const client = await connect(url)
    for (let round = 0, rest = 36; rest > 0; round++) {
      if (isChanged) rest -= 1
      const key = `own-${round % 12}`
      const count = own.get(key) ?? 0
      await client.query('begin isolation level repeatable read')
      await client.query('select 1')
      try {
        const next = [count + 1, count + 2].map((n) => message(key, String(n)))
        await append(store, client, street.channel, ...next)
        await client.query('commit')
        own.set(key, count + 2)
      } catch (error) {
        if (!isWaybillError(error) || error.code !== 'WB_STORE_CONFLICT') throw error
        conflicts += 1
        await client.query('rollback')
      }
    }
  })()

  const { signal } = new AbortController()
  const change = (partitions: number): Promise<void> =>
    store.layouts.change(street.transport, partitions, { signal, onWait() {} })
  await until('some deliveries', () => deliveries.total > 50)
  await change(16)
  const between = deliveries.total
  await until('more deliveries', () => deliveries.total > between + 50)
  slowBelow += 16
  await change(5)
  isChanged = true
  await repeatable
  const written = new Map([...(await writing), ...own])

  await until('an empty outbox', async () => {
    const { rows } = await observer.query('select 1 from waybill.outbox limit 1')
    return rows.length === 0
  })
  await until('the end of the older layouts', async () => {
    const [layout] = await store.layouts.look([street.transport])
    return layout!.older === 0
  })
  for (const relay of relays) await relay.stop()
  const { expected, ...faults } = deliveries.judge(written)
  expect(faults).toEqual({ lost: 0, twice: 0, outOfOrder: 0 })
  expect(expected).toBeGreaterThan(500)
  // Of its transactions those fail whose snapshot is older than a change, and no others.
  expect(conflicts).toBeLessThanOrEqual(2)
  const { first } = (
    await observer.query('select first_partition as first from waybill.transports where transport = $1', [
      street.transport,
    ])
  ).rows[0]
  const layouts = { old: 0, middle: 0, new: 0 }
  for (const partition of used)
    layouts[partition < street.first + 4 ? 'old' : partition < first ? 'middle' : 'new'] += 1
  expect(Math.min(layouts.old, layouts.middle, layouts.new)).toBeGreaterThan(2)
})
