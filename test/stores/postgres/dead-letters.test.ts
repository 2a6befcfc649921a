import { beforeAll, describe, expect, test } from 'vitest'
import { followerOf, letterOf } from './failures.ts'
import { connect, idsOf, message, openStore, publish, TestReader, untilPurposeWaits } from './support.ts'
import { seen, Town } from './operator-scene.ts'
import { postgresDatabase } from '../../setup/servers.ts'

let town: Town

beforeAll(async () => {
  const { url } = await postgresDatabase()
  const store = openStore({ connectionString: url })
  await store.schema.migrate()
  town = new Town(url, store, await connect(url))
})

const nothing = { returned: 0, asked: 0, left: [] }

describe('a list of dead letters', () => {
  test('is filtered by all that is given, and paged by number', async () => {
    const { street, desk, rows } = await town.scene(['a', 'b', 'c', 'a'])
    const { deadLetters } = town.store
    await desk.outbox.bury([
      letterOf(rows[0]!, desk, { errorCode: 'FIRST' }),
      letterOf(rows[1]!, desk, { reason: 'rejected' }),
      letterOf(rows[2]!, desk),
      letterOf(rows[3]!, desk),
    ])
    await town.observer.query(
      `update waybill.dead set died_at = died_at - interval '2 hours' where id = $1`,
      [rows[2]!.id],
    )
    const { channel } = street
    const ids = async (filter: object): Promise<string[]> =>
      idsOf(await deadLetters.list({ channel, ...filter }, { limit: 100 }))
    expect(await ids({})).toEqual(idsOf(rows))
    expect(await ids({ key: 'a' })).toEqual([rows[0]!.id, rows[3]!.id])
    expect(await ids({ reason: 'rejected' })).toEqual([rows[1]!.id])
    expect(await ids({ ids: [rows[1]!.id, rows[3]!.id], key: 'a' })).toEqual([rows[3]!.id])
    expect(await ids({ olderThanMs: 3_600_000 })).toEqual([rows[2]!.id])
    expect(await ids({ newerThanMs: 3_600_000, key: 'c' })).toEqual([])
    expect(await ids({ consumer: 'nobody' })).toEqual([])
    const [first] = await deadLetters.list({ channel }, { limit: 1 })
    expect(first).toMatchObject({
      id: rows[0]!.id,
      errorCode: 'FIRST',
      attempts: 3,
      consumer: '',
      isKeyParked: false,
    })
    expect(idsOf(await deadLetters.list({ channel }, { limit: 2, after: first!.number }))).toEqual(
      idsOf(rows.slice(1, 3)),
    )
    expect(await ids({ upTo: first!.number })).toEqual([rows[0]!.id])
    expect(await ids({ numbers: [first!.number] })).toEqual([rows[0]!.id])
  })

  test('shows one in full, by number and by the id of its message', async () => {
    const { street, desk, rows } = await town.scene(['a'])
    await desk.outbox.bury([letterOf(rows[0]!, desk)])
    const [number] = await town.numbers(street)
    const [letter] = await town.store.deadLetters.find({ number: number! })
    expect(letter).toMatchObject({
      id: rows[0]!.id,
      contentType: 'text/plain',
      partition: street.first,
      seq: rows[0]!.seq,
      firstErrorCode: 'E',
      replayAt: null,
    })
    expect(Buffer.from(letter!.payload).toString()).toBe('payload')
    const { ageMs, ...lasting } = letter!
    expect(ageMs).toBeGreaterThan(0)
    expect(await town.store.deadLetters.find({ id: rows[0]!.id })).toMatchObject([lasting])
    expect(await town.store.deadLetters.find({ number: 999_999 })).toEqual([])
  })
})

describe('a replay', () => {
  test('puts a message back under its id and number, where the next read finds it', async () => {
    const { street, desk, rows } = await town.scene(['a', 'b', 'a'])
    await desk.outbox.bury([letterOf(rows[0]!, desk)])
    await desk.outbox.remove([rows[1]!, rows[2]!])
    const before = await town.rewind(street)
    expect(await town.store.deadLetters.replay({ numbers: await town.numbers(street) })).toEqual({
      ...nothing,
      returned: 1,
    })
    expect(await town.rewind(street)).toBe(before + 1)
    const [again] = (await desk.reader.look({ last: null })).rows
    // Below the floor of a reader that has gone on: the counter has told it to read from 0.
    expect(again).toBeUndefined()
    expect(await seen(desk, street)).toEqual([[rows[0]!.id, false]])
    const { rows: stored } = await town.observer.query(
      'select seq::text, payload from waybill.outbox where id = $1',
      [rows[0]!.id],
    )
    expect(stored).toEqual([{ seq: String(rows[0]!.seq), payload: Buffer.from('payload') }])
    expect(await town.ids('dead', street)).toEqual([])
  })

  test('leaves a delayed message as old as it is: its expiry is reckoned from the end of its delay', async () => {
    const { street, desk, rows } = await town.scene(['a'])
    const [id, hour] = [rows[0]!.id, 3_600_000]
    await town.observer.query(
      `update waybill.outbox set created_at = now() - interval '30 days', not_before = now() - interval '1 hour' where id = $1`,
      [id],
    )
    await desk.outbox.bury([letterOf(rows[0]!, desk)])
    const [letter] = await town.store.deadLetters.list({ channel: street.channel }, { limit: 1 })
    expect(Math.round(letter!.ageMs / hour)).toBe(1)
    await town.store.deadLetters.replay({ numbers: [letter!.number] })
    const partitions = street.partitions.map((partition) => ({ partition, floor: 0n, mark: null }))
    const [again] = (await desk.reader.look({ last: null, partitions })).rows
    expect(again!.id).toBe(id)
    expect(again!.dueAt.getTime() - again!.createdAt.getTime()).toBe((30 * 24 - 1) * hour)
  })

  test('does nothing the second time (F40)', async () => {
    const { street, desk, rows } = await town.scene(['a'])
    await desk.outbox.bury([letterOf(rows[0]!, desk)])
    const numbers = await town.numbers(street)
    await town.store.deadLetters.replay({ numbers })
    expect(await town.store.deadLetters.replay({ numbers })).toEqual(nothing)
    expect(await town.ids('outbox', street)).toEqual([rows[0]!.id])
  })

  test('by two at once brings each message back once', async () => {
    const { street, desk, rows } = await town.scene(['a', 'b', 'c', 'd', 'e'])
    await desk.outbox.bury(rows.map((row) => letterOf(row, desk)))
    const numbers = await town.numbers(street)
    const results = await Promise.all([
      town.store.deadLetters.replay({ numbers }),
      town.store.deadLetters.replay({ numbers: numbers.toReversed() }),
    ])
    expect(results[0].returned + results[1].returned).toBe(5)
    expect(await town.ids('outbox', street)).toEqual(idsOf(rows))
  })

  test('reckons the partition anew from the layout of now, and tells the new one', async () => {
    const { street, desk, rows } = await town.scene(['a'])
    await desk.outbox.bury([letterOf(rows[0]!, desk)])
    await town.observer.query(
      'update waybill.transports set first_partition = first_partition + 100000 where transport = $1',
      [street.transport],
    )
    await town.store.deadLetters.replay({ numbers: await town.numbers(street) })
    const { rows: stored } = await town.observer.query(
      `select o.partition, r.counter::int as counter from waybill.outbox o
       left join waybill.rewinds r on r.partition = o.partition where o.id = $1`,
      [rows[0]!.id],
    )
    expect(stored).toEqual([{ partition: street.first + 100_000, counter: 1 }])
  })

  test('leaves a message whose channel is not registered any more, and says so', async () => {
    const { street, desk, rows } = await town.scene(['a'])
    await desk.outbox.bury([letterOf(rows[0]!, desk)])
    await town.observer.query('delete from waybill.channels where channel = $1', [street.channel])
    const numbers = await town.numbers(street)
    expect(await town.store.deadLetters.replay({ numbers })).toEqual({
      ...nothing,
      left: [{ why: 'no-channel', count: 1 }],
    })
    expect(await town.ids('dead', street)).toEqual([rows[0]!.id])
  })

  test('of one message of a parked key alone is left: its whole key comes back, or none of it', async () => {
    const { street } = await town.parked(['a', 'a', 'a'])
    const numbers = await town.numbers(street)
    expect(await town.store.deadLetters.replay({ numbers: numbers.slice(1, 2) })).toEqual({
      ...nothing,
      left: [{ why: 'key-parked', count: 1 }],
    })
    expect(await town.ids('dead', street)).toHaveLength(3)
  })
})

describe('a replay of a parked key', () => {
  const key = (
    { channel }: { readonly channel: string },
    consumer = '',
  ): { consumer: string; channel: string; key: string } => ({
    consumer,
    channel,
    key: 'a',
  })

  test('brings head and followers back in their old order, before what came since, and ends the line', async () => {
    const { street, desk, rows } = await town.parked(['a', 'b', 'a', 'a'])
    const [late] = await publish(town.store, town.observer, street.channel, message('a'))
    expect(await seen(desk, street)).toEqual([
      [rows[1]!.id, false],
      [late, true],
    ])
    const before = await town.rewind(street)
    expect(await town.store.deadLetters.replay({ key: key(street) })).toEqual({ ...nothing, returned: 3 })
    expect(await town.rewind(street)).toBeGreaterThan(before)
    expect(await seen(desk, street)).toEqual([...idsOf(rows), late].map((id) => [id, false]))
    expect(await town.ids('blocked', street)).toEqual([])
    expect(await town.ids('dead', street)).toEqual([])
    expect(await town.store.deadLetters.replay({ key: key(street) })).toEqual(nothing)
  })

  test('without its head brings the followers back, and leaves the head as any dead letter', async () => {
    const { street, desk, rows } = await town.parked(['a', 'a', 'a'])
    expect(await town.store.deadLetters.replay({ key: key(street), withoutHead: true })).toMatchObject({
      returned: 2,
    })
    expect(await seen(desk, street)).toEqual(idsOf(rows.slice(1)).map((id) => [id, false]))
    expect(await town.ids('dead', street)).toEqual([rows[0]!.id])
    expect(await town.store.deadLetters.replay({ numbers: await town.numbers(street) })).toMatchObject({
      returned: 1,
    })
  })

  test('leaves what was given up before the head that parks it, and that alone waits for its key', async () => {
    const { street, desk, rows } = await town.parked(['a', 'a', 'a'])
    const { deadLetters, keys } = town.store
    const { channel } = street
    await deadLetters.replay({ key: key(street), withoutHead: true })
    const [head, follower] = await new TestReader(desk.outbox, street).read()
    await desk.outbox.bury([letterOf(head!, desk, { parks: true })])
    await desk.outbox.moveFollowers([followerOf(follower!, desk)])
    const listed = await deadLetters.list({ channel }, { limit: 9 })
    expect(listed.map(({ id, isKeyParked }) => [id, isKeyParked])).toEqual([
      [rows[0]!.id, false],
      [rows[1]!.id, true],
      [rows[2]!.id, true],
    ])
    expect(await keys.list({ channel }, { limit: 9 })).toMatchObject([{ parkedMessages: 2 }])
    expect(await deadLetters.count({ channel })).toMatchObject({
      messages: 3,
      ofParkedKeys: 2,
      parkedKeys: [{ messages: 2 }],
    })
    const old = { numbers: [listed[0]!.number] }
    expect(await deadLetters.replay(old)).toMatchObject({ left: [{ why: 'key-parked', count: 1 }] })
    expect(await deadLetters.purge({ numbers: listed.map(({ number }) => number).slice(1) })).toMatchObject({
      purged: 0,
    })
    expect(await deadLetters.replay({ key: key(street) })).toMatchObject({ returned: 2 })
    expect(await seen(desk, street)).toEqual(idsOf(rows.slice(1)).map((id) => [id, false]))
    expect(await deadLetters.purge(old)).toMatchObject({ purged: 1 })
  })

  test('waits for a relay that is moving a follower, and takes that one too', async () => {
    const { street, desk, rows } = await town.parked(['a', 'a'])
    const [late] = await publish(town.store, town.observer, street.channel, message('a'))
    const marked = await desk.reader.read()
    expect(marked.map(({ id, isParked }) => [id, isParked])).toEqual([[late, true]])
    const relay = await connect(town.url)
    // A relay between its two statements: the line is held, the row is not moved yet.
    await relay.query('begin')
    await relay.query(`select from waybill.blocked where channel = $1 and state = 'parked' for update`, [
      street.channel,
    ])
    const replay = town.store.deadLetters.replay({ key: key(street) })
    await untilPurposeWaits(town.observer, 'operator')
    await relay.query(
      `with gone as (delete from waybill.outbox where id = $1 returning *)
       insert into waybill.dead (consumer, id, channel, key, payload, content_type, headers, created_at, partition, seq, attempts,
         reason, error_code, error)
       select '', id, channel, key, payload, content_type, headers, created_at, partition, seq, 0, 'follower', 'E', 'e' from gone`,
      [late],
    )
    await relay.query('commit')
    expect(await replay).toMatchObject({ returned: 3 })
    expect(await seen(desk, street)).toEqual([...idsOf(rows), late].map((id) => [id, false]))
  })

  test('is seen by a relay that moves a follower late: it leaves the row where it is', async () => {
    const { street, desk, rows } = await town.parked(['a', 'a'])
    const [late] = await publish(town.store, town.observer, street.channel, message('a'))
    const marked = await desk.reader.read()
    expect(marked.map(({ id, isParked }) => [id, isParked])).toEqual([[late, true]])
    const operator = await connect(town.url)
    await operator.query('begin')
    await operator.query('select from waybill.blocked where channel = $1 for update', [street.channel])
    const moving = desk.outbox.moveFollowers([followerOf(marked[0]!, desk)])
    await untilPurposeWaits(town.observer, 'followers')
    await operator.query('delete from waybill.blocked where channel = $1', [street.channel])
    await operator.query('commit')
    expect(await moving).toEqual(['unparked'])
    expect(await town.ids('outbox', street)).toEqual([late])
    expect(await town.ids('dead', street)).toEqual(idsOf(rows))
  })

  test('by two at once brings it back once', async () => {
    const { street, rows } = await town.parked(['a', 'a', 'a'])
    const results = await Promise.all([
      town.store.deadLetters.replay({ key: key(street) }),
      town.store.deadLetters.replay({ key: key(street) }),
    ])
    expect(results.map(({ returned }) => returned).toSorted()).toEqual([0, 3])
    expect(await town.ids('outbox', street)).toEqual(idsOf(rows))
  })
})

describe('a purge', () => {
  test('deletes dead letters, and leaves those of parked keys', async () => {
    const { street, desk, rows } = await town.parked(['a', 'b', 'a'])
    await desk.outbox.bury([letterOf(rows[1]!, desk)])
    const numbers = await town.numbers(street)
    expect(await town.store.deadLetters.purge({ numbers })).toEqual({
      purged: 1,
      left: [{ why: 'key-parked', count: 2 }],
    })
    expect(await town.ids('dead', street)).toEqual([rows[0]!.id, rows[2]!.id])
  })

  test('of a parked key takes all of it, and frees the key', async () => {
    const { street, desk } = await town.parked(['a', 'a'])
    const [late] = await publish(town.store, town.observer, street.channel, message('a'))
    const before = await town.rewind(street)
    const name = { consumer: '', channel: street.channel, key: 'a' }
    expect(await town.store.deadLetters.purge({ key: name })).toEqual({ purged: 2, left: [] })
    expect(await town.rewind(street)).toBe(before + 1)
    expect(await seen(desk, street)).toEqual([[late, false]])
    expect(await town.store.deadLetters.purge({ key: name })).toEqual({ purged: 0, left: [] })
  })

  test('leaves one that its consumer is running', async () => {
    const { street, desk, rows } = await town.scene(['a'])
    await desk.outbox.bury([letterOf(rows[0]!, desk)])
    const consumer = await connect(town.url)
    await consumer.query('begin')
    await consumer.query('select from waybill.dead where id = $1 for update', [rows[0]!.id])
    expect(await town.store.deadLetters.purge({ numbers: await town.numbers(street) })).toEqual({
      purged: 0,
      left: [{ why: 'busy', count: 1 }],
    })
    await consumer.query('rollback')
  })
})

test('a count tells what a filter meets, and of which parked keys', async () => {
  const { street, desk, rows } = await town.parked(['a', 'b', 'a', 'a'])
  await desk.outbox.bury([letterOf(rows[1]!, desk)])
  const { channel } = street
  const numbers = await town.numbers(street)
  expect(await town.store.deadLetters.count({ channel })).toEqual({
    messages: 4,
    ofParkedKeys: 3,
    parkedKeys: [{ consumer: '', channel, key: 'a', messages: 3 }],
    upTo: Math.max(...numbers),
  })
  expect(await town.store.deadLetters.count({ channel, reason: 'follower' })).toMatchObject({
    messages: 2,
    parkedKeys: [{ messages: 3 }],
  })
})
