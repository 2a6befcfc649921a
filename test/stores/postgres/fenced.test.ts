import type pg from 'pg'
import { beforeAll, describe, expect, test } from 'vitest'
import type { OutboxRow } from '../../../src/ports/outbox.ts'
import type { Store } from '../../../src/ports/store.ts'
import { until } from '../../../src/testing/until.ts'
import { postgresDatabase } from '../../setup/servers.ts'
import {
  connect,
  type Desk,
  idsOf,
  message,
  openDesk,
  openStore,
  openStreet,
  publish,
  type Street,
  TestReader,
  untilPurposeWaits,
} from './support.ts'

let url: string
let store: Store
let observer: pg.Client

beforeAll(async () => {
  ;({ url } = await postgresDatabase())
  store = openStore({ connectionString: url })
  await store.schema.migrate()
  observer = await connect(url)
})

const lineage = 'cluster/topic'

interface Scene {
  readonly street: Street
  readonly desk: Desk
  readonly rows: readonly OutboxRow[]
  /** Of the street's first partition, as it is held. */
  readonly held: { readonly partition: number; readonly epoch: bigint }
}

async function scene(...keys: string[]): Promise<Scene> {
  const street = await openStreet(url, store, { partitions: 1 })
  const desk = await openDesk(store, street)
  await publish(store, observer, street.channel, ...keys.map((key) => message(key)))
  const held = { partition: street.first, epoch: desk.epoch(street.first) }
  return { street, desk, rows: await desk.reader.read(), held }
}

async function waiting({ street }: Scene): Promise<string[]> {
  const { rows } = await observer.query('select id from waybill.outbox where channel = $1 order by seq', [
    street.channel,
  ])
  return idsOf(rows)
}

async function state({ street, desk }: Scene): Promise<unknown> {
  return (await desk.outbox.fencedStates([street.first])).get(street.first)
}

test('a delete is not answered inside the transaction of another partition’s, before its commit (A4)', async () => {
  const street = await openStreet(url, store, { partitions: 2 })
  const desk = await openDesk(store, street)
  const [one, two] = street.partitions as [number, number]
  while (new Set((await desk.reader.look()).rows.map((row) => row.partition)).size < 2)
    await publish(store, observer, street.channel, message(`key ${Math.random()}`))
  const rows = await desk.reader.read()
  const remove = (partition: number, attempts: number): Promise<boolean> =>
    desk.outbox.removeFenced(
      { partition, epoch: desk.epoch(partition) },
      { number: 1n, lineage },
      rows
        .filter((row) => row.partition === partition)
        .map(({ seq, id }) => ({ partition, seq, id, attempts })),
    )
  // Its commit waits for this lock.
  await observer.query(`
    create function slow_commit() returns trigger language plpgsql as $$
    begin
      perform pg_advisory_xact_lock(77);
      return null;
    end $$;
    create constraint trigger slow_commit after delete on waybill.outbox deferrable initially deferred
    for each row when (old.partition = ${one}) execute function slow_commit()`)
  await observer.query('select pg_advisory_lock(77)')
  const answered: number[] = []
  const removals = [remove(one, 1), remove(two, 0)]
  removals.forEach((each, i) => void each.then(() => answered.push(i)))
  await until('the commit to wait', async () => {
    const { rows: waits } = await observer.query(
      `select from pg_stat_activity where wait_event = 'advisory' and datname = current_database()`,
    )
    return waits.length > 0
  })
  expect(answered).toEqual([])
  await observer.query('select pg_advisory_unlock(77); drop trigger slow_commit on waybill.outbox')
  expect(await Promise.all(removals)).toEqual([true, true])
  expect((await desk.reader.look()).rows).toEqual([])
})

describe('the states of fenced partitions', () => {
  test('are those of the partitions asked for, from 0', async () => {
    const street = await openStreet(url, store, { partitions: 3 })
    const { outbox, epoch } = await openDesk(store, street)
    const [a, b] = street.partitions as [number, number, number]
    await outbox.removeFenced({ partition: b, epoch: epoch(b) }, { number: 1n, lineage }, [])
    const states = await outbox.fencedStates([a, b, 999_999])
    expect([...states].toSorted(([x], [y]) => x - y)).toEqual([
      [a, { number: 0n, lineage: null }],
      [b, { number: 1n, lineage }],
    ])
    expect(await outbox.fencedStates([])).toEqual(new Map())
  })

  test('outlive the lease', async () => {
    const made = await scene('a')
    await made.desk.outbox.removeFenced(made.held, { number: 1n, lineage }, made.rows)
    await made.desk.leases.close()
    const successor = await openDesk(store, made.street)
    expect(await successor.outbox.fencedStates([made.street.first])).toEqual(
      new Map([[made.street.first, { number: 1n, lineage }]]),
    )
  })
})

describe('removing what a fenced transaction carried', () => {
  test('deletes exactly its rows, with their lines, and notes the number', async () => {
    const made = await scene('a', 'b', 'c', 'a')
    const { desk, rows, held, street } = made
    const failure = { attempts: 1, retryInMs: 3_600_000, errorCode: 'E', error: 'e' }
    const { partition, seq, id, channel, key } = rows[0]!
    await desk.outbox.block([{ partition, seq, id, channel, key, epoch: held.epoch, ...failure }])
    expect(await desk.outbox.removeFenced(held, { number: 1n, lineage }, [rows[0]!, rows[2]!])).toBe(true)
    expect(await waiting(made)).toEqual([rows[1]!.id, rows[3]!.id])
    expect(await state(made)).toEqual({ number: 1n, lineage })
    // A line went: what it held is read again.
    expect((await desk.reader.look()).rewinds.get(street.first)).toBe(1n)
    expect(idsOf(await new TestReader(desk.outbox, street).read())).toEqual([rows[1]!.id, rows[3]!.id])
    expect(await desk.outbox.removeFenced(held, { number: 2n, lineage }, [rows[1]!])).toBe(true)
    expect(await state(made)).toEqual({ number: 2n, lineage })
    expect((await desk.reader.look()).rewinds.get(street.first)).toBe(1n)
  })

  test('deletes nothing whose three names do not match, and no line of it', async () => {
    const made = await scene('a', 'b')
    const [a, b] = [made.rows[0]!, made.rows[1]!]
    const { partition, seq, id, channel, key } = a
    const failure = { attempts: 1, retryInMs: 3_600_000, errorCode: 'E', error: 'e' }
    await made.desk.outbox.block([{ partition, seq, id, channel, key, epoch: made.held.epoch, ...failure }])
    const wrong = [
      { ...a, id: b.id },
      { ...a, seq: b.seq },
      { ...a, partition: partition + 1 },
      { ...b, id: message('x').id },
    ]
    expect(await made.desk.outbox.removeFenced(made.held, { number: 1n, lineage }, wrong)).toBe(true)
    expect(await waiting(made)).toEqual([a.id, b.id])
    const { rows } = await observer.query('select id from waybill.blocked where channel = $1', [channel])
    expect(idsOf(rows)).toEqual([a.id])
  })

  test('may be said again, after an answer that was lost', async () => {
    const made = await scene('a', 'b')
    const note = { number: 1n, lineage }
    expect(await made.desk.outbox.removeFenced(made.held, note, [made.rows[0]!])).toBe(true)
    expect(await made.desk.outbox.removeFenced(made.held, note, [made.rows[0]!])).toBe(true)
    expect(await waiting(made)).toEqual([made.rows[1]!.id])
    expect(await state(made)).toEqual(note)
  })

  test.for([
    { number: 4n, lineage },
    { number: 0n, lineage },
    { number: 5n, lineage: 'other' },
  ])('refuses number $number of $lineage after 5, and writes nothing', async (note) => {
    const made = await scene('a')
    await made.desk.outbox.removeFenced(made.held, { number: 5n, lineage }, [])
    await expect(made.desk.outbox.removeFenced(made.held, note, made.rows)).rejects.toMatchObject({
      code: 'WB_FENCED_MISMATCH',
    })
    expect(await waiting(made)).toEqual(idsOf(made.rows))
    expect(await state(made)).toEqual({ number: 5n, lineage })
  })

  test('takes what a note says after a take-over, and a new place of the notes with a number that follows', async () => {
    const made = await scene('a', 'b')
    const { outbox } = made.desk
    await outbox.removeFenced(made.held, { number: 5n, lineage }, [])
    expect(await outbox.removeFenced(made.held, { number: 7n, lineage }, [made.rows[0]!])).toBe(true)
    expect(await outbox.removeFenced(made.held, { number: 8n, lineage: 'new' }, [made.rows[1]!])).toBe(true)
    expect(await state(made)).toEqual({ number: 8n, lineage: 'new' })
    expect(await waiting(made)).toEqual([])
  })

  test('by a zombie writes nothing: neither after its epoch has ended nor while it is ending (P5, R1)', async () => {
    const made = await scene('a', 'b')
    const { desk, held, rows } = made
    const claiming = await connect(url)
    await claiming.query('begin')
    await claiming.query('select 1 from waybill.partitions where partition = $1 for update', [held.partition])
    const late = desk.outbox.removeFenced(held, { number: 1n, lineage }, [rows[0]!])
    await untilPurposeWaits(observer, 'deletes')
    await claiming.query('update waybill.partitions set epoch = epoch + 1 where partition = $1', [
      held.partition,
    ])
    await claiming.query('commit')
    expect(await late).toBe(false)
    expect(await desk.outbox.removeFenced(held, { number: 1n, lineage }, rows)).toBe(false)
    // Also with a number that does not follow: it is not this one's to judge.
    expect(await desk.outbox.removeFenced(held, { number: 0n, lineage }, rows)).toBe(false)
    expect(await waiting(made)).toEqual(idsOf(rows))
    expect(await state(made)).toEqual({ number: 0n, lineage: null })
  })

  test('of a call and its repetition at once one writes, and both say so', async () => {
    const made = await scene('a', 'b')
    const second = await store.openOutbox(made.street.lane)
    const holder = await connect(url)
    await holder.query('begin')
    await holder.query('select 1 from waybill.outbox where id = $1 for update', [made.rows[0]!.id])
    const note = { number: 1n, lineage }
    const both = [made.desk.outbox, second].map((each) => each.removeFenced(made.held, note, [made.rows[0]!]))
    await untilPurposeWaits(observer, 'deletes')
    await holder.query('commit')
    expect(await Promise.all(both)).toEqual([true, true])
    expect(await waiting(made)).toEqual([made.rows[1]!.id])
    expect(await state(made)).toEqual(note)
    await second.close()
  })

  test('of two different transactions with one number the second is refused', async () => {
    const made = await scene('a', 'b')
    const second = await store.openOutbox(made.street.lane)
    const holder = await connect(url)
    await holder.query('begin')
    await holder.query('select 1 from waybill.partitions where partition = $1 for no key update', [
      made.street.first,
    ])
    const first = made.desk.outbox.removeFenced(made.held, { number: 1n, lineage }, [made.rows[0]!])
    await untilPurposeWaits(observer, 'deletes')
    const other = second.removeFenced(made.held, { number: 1n, lineage: 'other' }, [made.rows[1]!])
    other.catch(() => {})
    await holder.query('commit')
    expect(await first).toBe(true)
    await expect(other).rejects.toMatchObject({ code: 'WB_FENCED_MISMATCH' })
    expect(await waiting(made)).toEqual([made.rows[1]!.id])
    await second.close()
  })

  test('that waits for a row does not hold up the renewal of the lease (R4), nor is it overtaken by a claim', async () => {
    const made = await scene('a')
    const { desk, held, street } = made
    const deleting = await connect(url)
    await deleting.query('begin')
    await deleting.query('delete from waybill.outbox where id = $1', [made.rows[0]!.id])
    const removing = desk.outbox.removeFenced(held, { number: 1n, lineage }, made.rows)
    await untilPurposeWaits(observer, 'deletes')
    expect(await desk.leases.renew([held], false)).toEqual([held])
    await observer.query(
      "update waybill.partitions set lease_until = now() - interval '1 s' where partition = $1",
      [held.partition],
    )
    const successor = await store.openLeases(street.lane)
    expect(await successor.claim(10)).toEqual([])
    await deleting.query('commit')
    expect(await removing).toBe(true)
    expect(await successor.claim(10)).toHaveLength(1)
    await successor.close()
  })

  test('is durable, whatever the database says of commits', async () => {
    const { url: careless } = await postgresDatabase()
    const admin = await connect(careless)
    await admin.query(`alter database ${new URL(careless).pathname.slice(1)} set synchronous_commit to off`)
    const own = openStore({ connectionString: careless })
    await own.schema.migrate()
    const street = await openStreet(careless, own, { partitions: 1 })
    const desk = await openDesk(own, street)
    const client = await connect(careless)
    await client.query(`
      create table seen (setting text);
      create function note() returns trigger language plpgsql as $$ begin
        insert into seen values (current_setting('synchronous_commit')); return new; end $$;
      create trigger note after update on waybill.partitions for each row execute function note()`)
    const held = { partition: street.first, epoch: desk.epoch(street.first) }
    expect(await desk.outbox.removeFenced(held, { number: 1n, lineage }, [])).toBe(true)
    const { rows } = await client.query(
      `select setting, current_setting('synchronous_commit') as of_others from seen`,
    )
    expect(rows).toEqual([{ setting: 'on', of_others: 'off' }])
  })
})
