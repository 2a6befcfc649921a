import { beforeAll, describe, expect, test } from 'vitest'
import type { OutboxRow } from '../../../src/ports/outbox.ts'
import { postgresDatabase } from '../../setup/servers.ts'
import { followerOf, letterOf } from './failures.ts'
import { LayoutScene } from './layout-scene.ts'
import { type Scene, Town } from './operator-scene.ts'
import { connect, type Desk, idsOf, message, openDesk, openStore, publish, TestReader } from './support.ts'

let town: Town
let layouts: LayoutScene

beforeAll(async () => {
  const { url } = await postgresDatabase()
  const store = openStore({ connectionString: url })
  await store.schema.migrate()
  town = new Town(url, store, await connect(url))
  layouts = new LayoutScene(store, town.observer)
})

interface Pair extends Scene {
  readonly other: Desk
}

/** Key `a` has three messages, key `b` one; consumer `one` has parked key `a`, and consumer `two` none. */
async function parked(): Promise<Pair> {
  const scene = await town.parked(['a', 'a', 'a', 'b'], ['one', 'two'])
  return { ...scene, other: await openDesk(town.store, scene.street, 'two') }
}

async function park(desk: Desk, rows: readonly OutboxRow[]): Promise<void> {
  const [head, ...followers] = rows
  await desk.outbox.bury([letterOf(head!, desk, { parks: true })])
  await desk.outbox.moveFollowers(followers.map((row) => followerOf(row, desk)))
}

function ofKey({ rows }: Scene, key: string): readonly OutboxRow[] {
  return rows.filter((row) => row.key === key)
}

/** What this consumer reads now in all of its partitions. */
async function readable({ street }: Scene, desk: Desk): Promise<string[]> {
  const { rows } = await town.observer.query(
    'select distinct partition as p from waybill.outbox where channel = $1',
    [street.channel],
  )
  const reader = new TestReader(desk.outbox, {
    channel: street.channel,
    partitions: rows.map(({ p }) => p as number),
  })
  return idsOf(await reader.read())
}

const left = (count: number): object => ({ returned: 0, asked: 0, left: [{ why: 'no-place', count }] })

describe('after a change of partitions a replay of a parked key', () => {
  test('takes nothing from another consumer, which has still to get it from the older ones', async () => {
    const scene = await parked()
    const { street, desk, other } = scene
    const held = ofKey(scene, 'a')
    await desk.outbox.remove(ofKey(scene, 'b'))
    await layouts.change(street, 3).ended
    // Consumer one goes on to the new layout, its parked key with it.
    await desk.leases.survey()
    const key = { consumer: 'one', channel: street.channel, key: 'a' }
    expect(await town.store.deadLetters.replay({ key })).toEqual(left(3))
    expect(await readable(scene, other)).toEqual(idsOf(scene.rows))
    await other.outbox.remove(scene.rows)
    expect(await town.store.deadLetters.replay({ key })).toMatchObject({ returned: 3 })
    expect(await readable(scene, desk)).toEqual(idsOf(held))
    expect(await readable(scene, other)).toEqual([])
  })

  test('that another consumer has brought back into newer ones waits until that one has it', async () => {
    const scene = await parked()
    const { street, desk, other } = scene
    const held = ofKey(scene, 'a')
    await park(other, held)
    await other.outbox.remove(ofKey(scene, 'b'))
    await layouts.change(street, 3).ended
    // Consumer two goes on; one has still to handle key b in the older layout.
    await other.leases.survey()
    const keyOf = (consumer: string): { consumer: string; channel: string; key: string } => ({
      consumer,
      channel: street.channel,
      key: 'a',
    })
    expect(await town.store.deadLetters.replay({ key: keyOf('two') })).toMatchObject({ returned: 3 })
    expect(await town.store.deadLetters.replay({ key: keyOf('one') })).toEqual(left(3))
    expect(await readable(scene, other)).toEqual(idsOf(held))
    const { rows } = await town.observer.query(
      `select distinct partition from waybill.outbox where channel = $1 and key = 'a'`,
      [street.channel],
    )
    expect(rows).toHaveLength(1)
    await other.outbox.remove(held.map((row) => ({ ...row, partition: rows[0].partition as number })))
    expect(await town.store.deadLetters.replay({ key: keyOf('one') })).toMatchObject({ returned: 3 })
    expect(await readable(scene, desk)).toEqual(idsOf(scene.rows))
  })

  test('and one of another consumer at the same moment are one after the other', async () => {
    const scene = await parked()
    const { street, desk, other } = scene
    const held = ofKey(scene, 'a')
    await park(other, held)
    await other.outbox.remove(ofKey(scene, 'b'))
    await layouts.change(street, 3).ended
    await other.leases.survey()
    const gate = await connect(town.url)
    await gate.query('begin')
    await gate.query(`select from waybill.inbox where consumer = 'one' and message_id = any($1) for update`, [
      idsOf(held),
    ])
    const replay = (consumer: string): Promise<{ returned: number }> =>
      town.store.deadLetters.replay({ key: { consumer, channel: street.channel, key: 'a' } })
    const first = replay('one')
    await layouts.operatorsWait(1)
    const second = replay('two')
    await layouts.operatorsWait(2)
    await gate.query('rollback')
    expect(await first).toMatchObject({ returned: 3 })
    expect(await second).toEqual(left(3))
    expect(await readable(scene, desk)).toEqual(idsOf(scene.rows))
  })
})

test('what a consumer had noted and not deleted when its process died goes from partitions that nobody claims any more', async () => {
  const { street, desk, rows } = await town.scene(['a', 'a'], ['one', 'two'])
  const other = await openDesk(town.store, street, 'two')
  await other.outbox.remove(rows)
  await town.observer.query(
    `insert into waybill.inbox (consumer, message_id) select 'one', unnest($1::uuid[])`,
    [idsOf(rows)],
  )
  await layouts.change(street, 3).ended
  await publish(town.store, town.observer, street.channel, message('a'))
  for (let looks = 0; looks < 3; looks++) for (const each of [desk, other]) await each.leases.survey()
  expect(await town.ids('outbox', street)).toHaveLength(1)
  await desk.leases.release(
    street.partitions.map((partition) => ({ partition, epoch: desk.epoch(partition) })),
  )
  await other.leases.release(
    street.partitions.map((partition) => ({ partition, epoch: other.epoch(partition) })),
  )
  await desk.leases.survey()
  await other.leases.survey()
  expect(await town.store.layouts.look([street.transport])).toMatchObject([{ older: 0 }])
})
