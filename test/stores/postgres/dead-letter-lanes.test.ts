import { beforeAll, describe, expect, test } from 'vitest'
import type { OutboxRow } from '../../../src/ports/outbox.ts'
import { removeText } from '../../../src/stores/postgres/outbox-remove-statements.ts'
import { postgresDatabase } from '../../setup/servers.ts'
import { letterOf } from './failures.ts'
import { seen, Town, type Scene } from './operator-scene.ts'
import { connect, type Desk, idsOf, openDesk, openStore, untilPurposeWaits } from './support.ts'

let town: Town

beforeAll(async () => {
  const { url } = await postgresDatabase()
  const store = openStore({ connectionString: url })
  await store.schema.migrate()
  town = new Town(url, store, await connect(url))
})

interface Shared extends Scene {
  readonly other: Desk
  readonly row: OutboxRow
  readonly numbers: readonly number[]
}

/** Consumers `one` and `two` of one message, which `one` has given up. */
async function shared(): Promise<Shared> {
  const scene = await town.scene(['a'], ['one', 'two'])
  const [row] = scene.rows
  await scene.desk.outbox.bury([letterOf(row!, scene.desk)])
  const numbers = await town.numbers(scene.street, 'one')
  return { ...scene, other: await openDesk(town.store, scene.street, 'two'), row: row!, numbers }
}

/**
 * Begins a replay and stops it where it has looked who has the message, and has not committed yet. Resolves with what lets it go on.
 */
async function halfWay({ row, numbers }: Shared): Promise<() => Promise<number>> {
  const gate = await connect(town.url)
  await gate.query('begin')
  await gate.query(`select from waybill.inbox where consumer = 'one' and message_id = $1 for update`, [
    row.id,
  ])
  const replay = town.store.deadLetters.replay({ numbers })
  await untilPurposeWaits(town.observer, 'operator')
  return async () => {
    await gate.query('rollback')
    return (await replay).returned
  }
}

describe('a replay on the lane of a local consumer', () => {
  test('that is the only one brings the row back, and forgets that it was had', async () => {
    const { street, desk, rows } = await town.scene(['a', 'a'], ['one'])
    await desk.outbox.bury([letterOf(rows[0]!, desk)])
    await desk.outbox.remove([rows[1]!])
    expect(await town.ids('outbox', street)).toEqual([])
    expect(await town.inbox(rows[0]!.id)).toEqual(['one'])
    expect(await town.store.deadLetters.replay({ numbers: await town.numbers(street) })).toMatchObject({
      returned: 1,
    })
    expect(await town.inbox(rows[0]!.id)).toEqual([])
    expect(await town.rewind(street, 'one')).toBeGreaterThan(0)
    expect(await seen(desk, street)).toEqual([[rows[0]!.id, false]])
  })

  test('goes back to that consumer alone: the others have had it', async () => {
    const { street, desk, other, row, numbers } = await shared()
    await other.outbox.remove([row])
    expect(await town.ids('outbox', street)).toEqual([])
    await town.observer.query(`delete from waybill.inbox where consumer = 'two'`)
    expect(await town.store.deadLetters.replay({ numbers })).toMatchObject({ returned: 1 })
    expect(await town.inbox(row.id)).toEqual(['two'])
    expect(await seen(desk, street)).toEqual([[row.id, false]])
    expect(await seen(other, street)).toEqual([])
    await desk.outbox.remove([row])
    expect(await town.ids('outbox', street)).toEqual([])
  })

  test('leaves the row where it is while another consumer has not had it', async () => {
    const { street, desk, other, row, numbers } = await shared()
    const version = async (): Promise<unknown> =>
      (await town.observer.query('select ctid, xmin from waybill.outbox where id = $1', [row.id])).rows
    const before = await version()
    expect(await town.store.deadLetters.replay({ numbers })).toMatchObject({ returned: 1 })
    expect(await version()).toEqual(before)
    expect(await town.inbox(row.id)).toEqual([])
    expect(await seen(desk, street)).toEqual([[row.id, false]])
    expect(await seen(other, street)).toEqual([[row.id, false]])
  })

  test('of one that two consumers gave up is for each its own', async () => {
    const { street, desk, other, row, numbers } = await shared()
    await other.outbox.bury([letterOf(row, other)])
    expect(await town.ids('outbox', street)).toEqual([])
    const all = await town.numbers(street)
    expect(await town.store.deadLetters.replay({ numbers: all })).toMatchObject({ returned: 2 })
    expect(await town.ids('outbox', street)).toEqual([row.id])
    expect(await seen(desk, street)).toEqual([[row.id, false]])
    expect(await seen(other, street)).toEqual([[row.id, false]])
    expect(all).toEqual(expect.arrayContaining([...numbers]))
  })

  test('brings a parked key back in its old order, to this consumer alone', async () => {
    const { street, desk, rows } = await town.parked(['a', 'b', 'a'], ['one', 'two'])
    const other = await openDesk(town.store, street, 'two')
    const key = { consumer: 'one', channel: street.channel, key: 'a' }
    expect(await town.store.deadLetters.replay({ key })).toMatchObject({ returned: 2 })
    expect(await seen(desk, street)).toEqual(idsOf(rows).map((id) => [id, false]))
    expect(await seen(other, street)).toEqual(idsOf(rows).map((id) => [id, false]))
  })

  test('leaves what belongs to a consumer that has no subscription any more', async () => {
    const { street, numbers } = await shared()
    await town.observer.query(`delete from waybill.subscriptions where channel = $1 and consumer = 'one'`, [
      street.channel,
    ])
    expect(await town.store.deadLetters.replay({ numbers })).toEqual({
      returned: 0,
      asked: 0,
      left: [{ why: 'no-consumer', count: 1 }],
    })
  })
})

test('a message that another consumer has still to get, in a layout that its own has left, waits until that one has it', async () => {
  const { street, other, row, numbers } = await shared()
  const retire = `update waybill.layouts set state = 'retired' where transport = $1 and consumer = 'one'`
  await town.observer.query(retire, [street.transport])
  const left = { returned: 0, asked: 0, left: [{ why: 'no-place', count: 1 }] }
  expect(await town.store.deadLetters.replay({ numbers })).toEqual(left)
  await town.observer.query(
    `insert into waybill.blocked (consumer, partition, seq, id, channel, key, state, attempts, retry_at, error_code, error, first_error_code,
       first_error)
     select 'one', partition, seq, id, channel, key, 'parked', 1, 'infinity', 'E', 'e', 'E', 'e' from waybill.dead where id = $1`,
    [row.id],
  )
  const key = { consumer: 'one', channel: street.channel, key: 'a' }
  expect(await town.store.deadLetters.replay({ key })).toEqual(left)
  expect(await town.ids('dead', street)).toEqual([row.id])
  await other.outbox.remove([row])
  expect(await town.store.deadLetters.replay({ key })).toMatchObject({ returned: 1 })
  expect(await town.ids('blocked', street)).toEqual([])
})

describe('a message that was brought back stays, though', () => {
  test('another consumer becomes the last to have it while the replay looks', async () => {
    const scene = await shared()
    const { street, desk, other, row } = scene
    const goOn = await halfWay(scene)
    const removing = other.outbox.remove([row])
    await untilPurposeWaits(town.observer, 'deletes')
    expect(await goOn()).toBe(1)
    await removing
    expect(await town.inbox(row.id)).toEqual(['two'])
    expect(await seen(desk, street)).toEqual([[row.id, false]])
  })

  test('a relay was about to delete it, since everybody had it', async () => {
    const scene = await shared()
    const { street, desk, other, row } = scene
    // Two has it, and its row stays: the relay that was to delete it is late.
    await town.observer.query(`insert into waybill.inbox (consumer, message_id) values ('two', $1)`, [row.id])
    const goOn = await halfWay(scene)
    const removing = other.outbox.remove([row])
    await untilPurposeWaits(town.observer, 'deletes')
    expect(await goOn()).toBe(1)
    await removing
    expect(await seen(desk, street)).toEqual([[row.id, false]])
  })

  test('the relay that gave it up comes to delete it only now', async () => {
    const { street, desk, rows } = await town.scene(['a'], ['one'])
    const [row] = rows
    await desk.outbox.bury([letterOf(row!, desk)])
    await town.store.deadLetters.replay({ numbers: await town.numbers(street) })
    // The second statement of a bury, whose process was stopped between the two.
    await town.observer.query(removeText('"waybill"', { transport: '', consumer: 'one' }, false, 'noted'), [
      [row!.partition],
      [String(row!.seq)],
      [row!.id],
      'one',
    ])
    expect(await seen(desk, street)).toEqual([[row!.id, false]])
  })
})
