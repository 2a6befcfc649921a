import { randomUUID } from 'node:crypto'
import type pg from 'pg'
import { beforeAll, describe, expect, test } from 'vitest'
import type { Loss, OutboxRow, TakenRow } from '../../../src/ports/outbox.ts'
import type { Store } from '../../../src/ports/store.ts'
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

interface Scene {
  readonly street: Street
  readonly desk: Desk
  readonly rows: readonly OutboxRow[]
}

async function scene(keys: readonly string[], partitions = 1, consumers: string[] = []): Promise<Scene> {
  const street = await openStreet(url, store, { partitions, consumers })
  const desk = await openDesk(store, street)
  await publish(store, observer, street.channel, ...keys.map((key) => message(key)))
  return { street, desk, rows: await desk.reader.read() }
}

function taken(row: OutboxRow, desk: Desk, changes: Partial<TakenRow> = {}): TakenRow {
  const { partition, seq, id, channel } = row
  return { partition, seq, id, channel, epoch: desk.epoch(partition), ...changes }
}

function lost(row: OutboxRow, changes: Partial<Loss> = {}): Loss {
  return { channel: row.channel, id: row.id, cause: 'not-sent', code: 'ECONNRESET', ...changes }
}

async function waiting(channel: string): Promise<string[]> {
  const { rows } = await observer.query('select id from waybill.outbox where channel = $1 order by seq', [
    channel,
  ])
  return idsOf(rows)
}

async function lines(channel: string): Promise<readonly Record<string, unknown>[]> {
  const { rows } = await observer.query(
    'select batch, partition, epoch, consumer, ids from waybill.taken where channel = $1 order by partition',
    [channel],
  )
  return rows
}

async function losses(channel: string): Promise<readonly unknown[]> {
  const { rows } = await observer.query(
    `select consumer, cause, count::int as count, last_id, last_code from waybill.losses where channel = $1
     order by consumer, cause`,
    [channel],
  )
  return rows
}

async function endLeases(street: Street): Promise<void> {
  await observer.query(
    `update waybill.partitions set lease_until = now() - interval '1 s' where transport = $1`,
    [street.transport],
  )
}

describe('taking on the lane of a transport', () => {
  test('deletes the rows, and a line for each partition names exactly them', async () => {
    const { street, desk, rows } = await scene(['a', 'b', 'c', 'd', 'e', 'f'], 2)
    const [kept, ...some] = rows
    const batch = randomUUID()
    const outcomes = await desk.outbox.take(
      batch,
      some.map((row) => taken(row, desk)),
    )
    expect(outcomes).toEqual(some.map(() => 'taken'))
    expect(await waiting(street.channel)).toEqual([kept!.id])
    const expected = street.partitions.map((partition) => ({
      batch,
      partition,
      epoch: String(desk.epoch(partition)),
      consumer: '',
      ids: idsOf(some.filter((row) => row.partition === partition)),
    }))
    expect(new Set(some.map((row) => row.partition)).size).toBe(2)
    expect(await lines(street.channel)).toEqual(expected)
    expect(await desk.outbox.take(randomUUID(), [taken(some[0]!, desk)])).toEqual(['gone'])
    expect(await lines(street.channel)).toEqual(expected)
    expect(await desk.outbox.take(randomUUID(), [])).toEqual([])
  })

  test('takes their lines too, and what they held is read again', async () => {
    const { street, desk, rows } = await scene(['a', 'a'])
    const failure = { key: 'a', attempts: 1, retryInMs: 3_600_000, errorCode: 'E', error: 'e' }
    await desk.outbox.block([{ ...taken(rows[0]!, desk), ...failure }])
    expect(await new TestReader(desk.outbox, street).read()).toEqual([])
    await desk.outbox.take(randomUUID(), [taken(rows[0]!, desk)])
    const { rewinds } = await desk.reader.look()
    expect(rewinds.get(street.first)).toBe(1n)
    expect(idsOf(await new TestReader(desk.outbox, street).read())).toEqual([rows[1]!.id])
  })

  test('tells for each row, in order, whether it is ours, and touches none whose names do not all match', async () => {
    const { street, desk, rows } = await scene(['a', 'b', 'c'])
    const [a, b, c] = [rows[0]!, rows[1]!, rows[2]!]
    const asked = [
      taken(a, desk, { epoch: desk.epoch(street.first) - 1n }),
      taken(b, desk, { id: a.id }),
      taken(b, desk, { seq: b.seq + 1000n }),
      taken(b, desk, { partition: street.first + 4711 }),
      taken(c, desk),
    ]
    expect(await desk.outbox.take(randomUUID(), asked)).toEqual(['fenced', 'gone', 'gone', 'fenced', 'taken'])
    expect(await waiting(street.channel)).toEqual([a.id, b.id])
    expect((await lines(street.channel)).map((line) => line['ids'])).toEqual([[c.id]])
  })

  test('is durable, whatever the database says of commits', async () => {
    const { url: careless } = await postgresDatabase()
    const admin = await connect(careless)
    const name = new URL(careless).pathname.slice(1)
    await admin.query(`alter database ${name} set synchronous_commit to off`)
    const own = openStore({ connectionString: careless })
    await own.schema.migrate()
    const client = await connect(careless)
    await client.query(`
      create table seen (made_by text, setting text);
      create function note() returns trigger language plpgsql as $$ begin
        insert into seen values (tg_table_name, current_setting('synchronous_commit')); return new; end $$;
      create trigger note after insert on waybill.taken for each row execute function note();
      create trigger note after insert on waybill.outbox for each row execute function note()`)
    const street = await openStreet(careless, own, { partitions: 1 })
    const desk = await openDesk(own, street)
    await publish(own, client, street.channel, message('a'))
    const [row] = await desk.reader.read()
    await desk.outbox.take(randomUUID(), [taken(row!, desk)])
    const { rows: seen } = await client.query('select * from seen')
    // The publisher's own connection shows what the database says.
    expect(seen).toEqual([
      { made_by: 'outbox', setting: 'off' },
      { made_by: 'taken', setting: 'on' },
    ])
  })

  test('by a zombie takes nothing: neither after its epoch has ended nor while it is ending (P5, R1)', async () => {
    const { street, desk, rows } = await scene(['a', 'b'])
    const claiming = await connect(url)
    await claiming.query('begin')
    await claiming.query('select 1 from waybill.partitions where partition = $1 for update', [street.first])
    const late = desk.outbox.take(randomUUID(), [taken(rows[0]!, desk)])
    await untilPurposeWaits(observer, 'takes')
    await claiming.query('update waybill.partitions set epoch = epoch + 1 where partition = $1', [
      street.first,
    ])
    await claiming.query('commit')
    expect(await late).toEqual(['fenced'])
    expect(await desk.outbox.take(randomUUID(), [taken(rows[1]!, desk)])).toEqual(['fenced'])
    expect(await waiting(street.channel)).toEqual(idsOf(rows))
    expect(await lines(street.channel)).toEqual([])
  })

  test('that waits for a row is not overtaken by a claim', async () => {
    const { street, desk, rows } = await scene(['a'])
    const reading = await connect(url)
    await reading.query('begin')
    await reading.query('select 1 from waybill.outbox where id = $1 for update', [rows[0]!.id])
    const taking = desk.outbox.take(randomUUID(), [taken(rows[0]!, desk)])
    await untilPurposeWaits(observer, 'takes')
    await endLeases(street)
    const successor = await store.openLeases(street.lane)
    expect(await successor.claim(10)).toEqual([])
    await reading.query('commit')
    expect(await taking).toEqual(['taken'])
    expect(await successor.claim(10)).toHaveLength(1)
    expect(await losses(street.channel)).toMatchObject([{ cause: 'process-ended', count: 1 }])
    await successor.close()
  })
})

describe('the end of a batch', () => {
  test('takes its lines away, and counts what was lost of it and nothing else', async () => {
    const { street, desk, rows } = await scene(['a', 'b', 'c', 'd', 'e'], 2)
    const [batch, other] = [randomUUID(), randomUUID()]
    await desk.outbox.take(
      batch,
      rows.slice(0, 4).map((row) => taken(row, desk)),
    )
    await desk.outbox.take(
      other,
      rows.slice(4).map((row) => taken(row, desk)),
    )
    await desk.outbox.endTaken(batch, [
      lost(rows[0]!),
      lost(rows[2]!, { cause: 'handler-failed', code: 'E' }),
      lost(rows[1]!, { code: 'LAST' }),
      lost(rows[4]!),
    ])
    expect((await lines(street.channel)).map((line) => line['batch'])).toEqual([other])
    const counted = [
      { consumer: '', cause: 'handler-failed', count: 1, last_id: rows[2]!.id, last_code: 'E' },
      { consumer: '', cause: 'not-sent', count: 2, last_id: rows[1]!.id, last_code: 'LAST' },
    ]
    expect(await losses(street.channel)).toEqual(counted)
    // Said again, as after an answer that was lost; and of a batch that nobody knows.
    await desk.outbox.endTaken(batch, [lost(rows[0]!)])
    await desk.outbox.endTaken(randomUUID(), [lost(rows[4]!)])
    expect(await losses(street.channel)).toEqual(counted)
    await desk.outbox.endTaken(other, [lost(rows[4]!, { code: 'MORE' })])
    expect(await losses(street.channel)).toMatchObject([
      { cause: 'handler-failed', count: 1 },
      { cause: 'not-sent', count: 3, last_id: rows[4]!.id, last_code: 'MORE' },
    ])
    expect(await lines(street.channel)).toEqual([])
  })

  test('without losses leaves no trace', async () => {
    const { street, desk, rows } = await scene(['a'])
    const batch = randomUUID()
    await desk.outbox.take(batch, [taken(rows[0]!, desk)])
    await desk.outbox.endTaken(batch, [])
    expect(await lines(street.channel)).toEqual([])
    await endLeases(street)
    await openDesk(store, street)
    expect(await losses(street.channel)).toEqual([])
  })
})

describe('what a killed owner had taken', () => {
  async function killedScene(): Promise<Scene & { readonly batch: string }> {
    const made = await scene(['a', 'b', 'c', 'd', 'e', 'f'], 2)
    const batch = randomUUID()
    await made.desk.outbox.take(
      batch,
      made.rows.map((row) => taken(row, made.desk)),
    )
    return { ...made, batch }
  }

  async function kill(): Promise<void> {
    await observer.query(
      `select pg_terminate_backend(pid, 5000) from pg_stat_activity
       where application_name = 'test leases' and datname = current_database()`,
    )
  }

  test('is counted with the next claim, once, and its zombie adds nothing', async () => {
    const { street, desk, rows, batch } = await killedScene()
    await kill()
    const successor = await store.openLeases(street.lane)
    expect(await successor.claim(10)).toHaveLength(2)
    const all = [{ consumer: '', cause: 'process-ended', count: 6, last_code: null }]
    expect(await losses(street.channel)).toMatchObject(all)
    expect(idsOf(rows)).toContain((await losses(street.channel))[0]!['last_id' as never])
    expect(await lines(street.channel)).toEqual([])
    await desk.outbox.endTaken(
      batch,
      rows.map((row) => lost(row)),
    )
    await successor.close()
    await openDesk(store, street)
    expect(await losses(street.channel)).toMatchObject(all)
  })

  test('is counted for the partitions that were claimed, and not what their new owner takes', async () => {
    const { street, rows } = await killedScene()
    await kill()
    const first = await store.openLeases(street.lane)
    const [held] = await first.claim(1)
    const own = rows.filter((row) => row.partition === held!.partition).length
    expect(await losses(street.channel)).toMatchObject([{ count: own }])
    expect(await lines(street.channel)).toHaveLength(1)
    const outbox = await store.openOutbox(street.lane)
    const [id] = await publish(store, observer, street.channel, message('a'))
    const { rows: where } = await observer.query('select partition, seq from waybill.outbox where id = $1', [
      id,
    ])
    const { partition, seq } = where[0]
    const other = partition === held!.partition ? held! : (await first.claim(1))[0]!
    const row = { partition, seq: BigInt(seq), id: id!, channel: street.channel, epoch: other.epoch }
    expect(await outbox.take(randomUUID(), [row])).toEqual(['taken'])
    const second = await store.openLeases(street.lane)
    await second.claim(10)
    expect((await lines(street.channel)).map((line) => line['ids'])).toContainEqual([id])
    await Promise.all([first.close(), second.close(), outbox.close()])
  })

  test.for(['the zombie', 'the claim'])(
    'is counted once where both are at it at once and %s was first',
    async (first) => {
      const { street, desk, rows, batch } = await killedScene()
      const [channel] = [street.channel]
      // Whoever is first has the lines, and stands before its count.
      const holder = await connect(url)
      const causes = { 'the zombie': 'not-sent', 'the claim': 'process-ended' } as Record<string, string>
      await observer.query(
        `insert into waybill.losses (channel, cause, count, last_id) values ($1, $2, 0, gen_random_uuid())`,
        [channel, causes[first]],
      )
      await holder.query('begin')
      await holder.query('select 1 from waybill.losses where channel = $1 for update', [channel])
      await endLeases(street)
      const successor = await store.openLeases(street.lane)
      const claim = (): Promise<unknown> => successor.claim(10)
      const end = (): Promise<unknown> =>
        desk.outbox.endTaken(
          batch,
          rows.map((row) => lost(row)),
        )
      const work = first === 'the zombie' ? [end, claim] : [claim, end]
      const purposes = first === 'the zombie' ? ['takes', 'sweep'] : ['sweep', 'takes']
      const one = work[0]!()
      await untilPurposeWaits(observer, purposes[0]!)
      const two = work[1]!()
      await untilPurposeWaits(observer, purposes[1]!)
      await holder.query('commit')
      await Promise.all([one, two])
      expect(await losses(channel)).toMatchObject([{ cause: causes[first], count: 6 }])
      expect(await lines(channel)).toEqual([])
      await successor.close()
    },
  )
})

describe("taking on a consumer's lane", () => {
  async function noted(consumer: string): Promise<string[]> {
    const { rows } = await observer.query('select message_id as id from waybill.inbox where consumer = $1', [
      consumer,
    ])
    return idsOf(rows)
  }

  test('by the only consumer deletes the rows, and no inbox row is written', async () => {
    const { street, desk, rows } = await scene(['a', 'b'], 1, ['sole-taker'])
    const batch = randomUUID()
    expect(
      await desk.outbox.take(
        batch,
        rows.map((row) => taken(row, desk)),
      ),
    ).toEqual(['taken', 'taken'])
    expect(await waiting(street.channel)).toEqual([])
    expect(await noted('sole-taker')).toEqual([])
    expect(await lines(street.channel)).toMatchObject([{ consumer: 'sole-taker', ids: idsOf(rows) }])
    await desk.outbox.endTaken(batch, [lost(rows[0]!, { cause: 'handler-failed' })])
    expect(await losses(street.channel)).toMatchObject([
      { consumer: 'sole-taker', cause: 'handler-failed', count: 1 },
    ])
  })

  test('by one of several leaves the rows to the others, and the last one deletes them', async () => {
    const { street, desk: one, rows } = await scene(['a', 'b'], 1, ['taker-1', 'taker-2'])
    const two = await openDesk(store, street, 'taker-2')
    const failure = { key: 'a', attempts: 1, retryInMs: 3_600_000, errorCode: 'E', error: 'e' }
    await one.outbox.block([{ ...taken(rows[0]!, one), ...failure }])
    expect(
      await one.outbox.take(
        randomUUID(),
        rows.map((row) => taken(row, one)),
      ),
    ).toEqual(['taken', 'taken'])
    expect(await waiting(street.channel)).toEqual(idsOf(rows))
    expect((await noted('taker-1')).toSorted()).toEqual(idsOf(rows).toSorted())
    const { rows: blocked } = await observer.query('select 1 from waybill.blocked where channel = $1', [
      street.channel,
    ])
    expect(blocked).toEqual([])
    expect(await new TestReader(one.outbox, street).read()).toEqual([])
    expect(await one.outbox.take(randomUUID(), [taken(rows[0]!, one)])).toEqual(['gone'])
    expect(await two.outbox.take(randomUUID(), [taken(rows[0]!, two)])).toEqual(['taken'])
    expect(await waiting(street.channel)).toEqual([rows[1]!.id])
    expect((await lines(street.channel)).map((line) => line['consumer'])).toEqual(['taker-1', 'taker-2'])
  })

  test('by all of them at once gives each consumer each row once, and leaves none behind', async () => {
    const consumers = ['racer-1', 'racer-2', 'racer-3']
    const keys = Array.from({ length: 60 }, (_, i) => `k${i}`)
    const { street, desk, rows } = await scene(keys, 2, consumers)
    const desks = [desk, await openDesk(store, street, 'racer-2'), await openDesk(store, street, 'racer-3')]
    const orders = [rows, rows.toReversed(), [...rows.slice(30), ...rows.slice(0, 30)]]
    const outcomes = await Promise.all(
      desks.map(async (each, i) => {
        const found: string[] = []
        for (let at = 0; at < rows.length; at += 10) {
          const some = orders[i]!.slice(at, at + 10).map((row) => taken(row, each))
          found.push(...(await each.outbox.take(randomUUID(), some)))
        }
        return found
      }),
    )
    expect(outcomes).toEqual(consumers.map(() => rows.map(() => 'taken')))
    expect(await waiting(street.channel)).toEqual([])
  })

  test('by a zombie notes nothing, and what it had taken before is counted for its consumer', async () => {
    const { street, desk, rows } = await scene(['a', 'b'], 1, ['zombie', 'other'])
    await desk.outbox.take(randomUUID(), [taken(rows[0]!, desk)])
    await endLeases(street)
    const successor = await openDesk(store, street)
    expect(await desk.outbox.take(randomUUID(), [taken(rows[1]!, desk)])).toEqual(['fenced'])
    expect(await noted('zombie')).toEqual([rows[0]!.id])
    expect(await losses(street.channel)).toMatchObject([
      { consumer: 'zombie', cause: 'process-ended', count: 1 },
    ])
    expect(idsOf(await successor.reader.read())).toEqual([rows[1]!.id])
  })

  test('is counted as lost where the consumer is unsubscribed with rows in hand', async () => {
    const { street, desk, rows } = await scene(['a', 'b'], 1, ['going'])
    const batch = randomUUID()
    await desk.outbox.take(
      batch,
      rows.map((row) => taken(row, desk)),
    )
    await store.schema.unsubscribe('going')
    await desk.outbox.endTaken(
      batch,
      rows.map((row) => lost(row)),
    )
    expect(await losses(street.channel)).toMatchObject([
      { consumer: 'going', cause: 'process-ended', count: 2 },
    ])
    expect(await lines(street.channel)).toEqual([])
  })
})
