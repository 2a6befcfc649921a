import { randomUUID } from 'node:crypto'
import { beforeAll, describe, expect, test } from 'vitest'
import { silentLogger } from '../../../src/kernel/logger.ts'
import { Connections } from '../../../src/stores/postgres/connections.ts'
import { sweep } from '../../../src/stores/postgres/sweep.ts'
import { postgresDatabase } from '../../setup/servers.ts'
import {
  connect,
  context,
  idsOf,
  message,
  openDesk,
  openStore,
  openStreet,
  publish,
  TestReader,
  untilPurposeWaits,
} from './support.ts'
import { lost, type Scene, TakeDatabase, taken } from './take-support.ts'

let database: TakeDatabase

beforeAll(async () => {
  database = await TakeDatabase.open()
})

describe('taking on the lane of a transport', () => {
  test('deletes the rows, and a line for each partition names exactly them', async () => {
    const { street, desk, rows } = await database.scene(['a', 'b', 'c', 'd', 'e', 'f'], 2)
    const [kept, ...some] = rows
    const batch = randomUUID()
    const outcomes = await desk.outbox.take(
      batch,
      some.map((row) => taken(row, desk)),
    )
    expect(outcomes).toEqual(some.map(() => 'taken'))
    expect(await database.waiting(street.channel)).toEqual([kept!.id])
    const expected = street.partitions.map((partition) => ({
      batch,
      partition,
      epoch: String(desk.epoch(partition)),
      consumer: '',
      ids: idsOf(some.filter((row) => row.partition === partition)),
    }))
    expect(new Set(some.map((row) => row.partition)).size).toBe(2)
    expect(await database.lines(street.channel)).toEqual(expected)
    expect(await desk.outbox.take(randomUUID(), [taken(some[0]!, desk)])).toEqual(['gone'])
    expect(await database.lines(street.channel)).toEqual(expected)
    expect(await desk.outbox.take(randomUUID(), [])).toEqual([])
  })

  test('takes their lines too, and what they held is read again', async () => {
    const { street, desk, rows } = await database.scene(['a', 'a'])
    const failure = { key: 'a', attempts: 1, retryInMs: 3_600_000, errorCode: 'E', error: 'e' }
    await desk.outbox.block([{ ...taken(rows[0]!, desk), ...failure }])
    expect(await new TestReader(desk.outbox, street).read()).toEqual([])
    await desk.outbox.take(randomUUID(), [taken(rows[0]!, desk)])
    const { rewinds } = await desk.reader.look()
    expect(rewinds.get(street.first)).toBe(1n)
    expect(idsOf(await new TestReader(desk.outbox, street).read())).toEqual([rows[1]!.id])
  })

  test('tells for each row, in order, whether it is ours, and touches none whose names do not all match', async () => {
    const { street, desk, rows } = await database.scene(['a', 'b', 'c'])
    const [a, b, c] = [rows[0]!, rows[1]!, rows[2]!]
    const asked = [
      taken(a, desk, { epoch: desk.epoch(street.first) - 1n }),
      taken(b, desk, { id: a.id }),
      taken(b, desk, { seq: b.seq + 1000n }),
      taken(b, desk, { partition: street.first + 4711 }),
      taken(c, desk),
    ]
    expect(await desk.outbox.take(randomUUID(), asked)).toEqual(['fenced', 'gone', 'gone', 'fenced', 'taken'])
    expect(await database.waiting(street.channel)).toEqual([a.id, b.id])
    expect((await database.lines(street.channel)).map((line) => line['ids'])).toEqual([[c.id]])
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
    const { street, desk, rows } = await database.scene(['a', 'b'])
    const claiming = await connect(database.url)
    await claiming.query('begin')
    await claiming.query('select 1 from waybill.partitions where partition = $1 for update', [street.first])
    const late = desk.outbox.take(randomUUID(), [taken(rows[0]!, desk)])
    await untilPurposeWaits(database.observer, 'takes')
    await claiming.query('update waybill.partitions set epoch = epoch + 1 where partition = $1', [
      street.first,
    ])
    await claiming.query('commit')
    expect(await late).toEqual(['fenced'])
    expect(await desk.outbox.take(randomUUID(), [taken(rows[1]!, desk)])).toEqual(['fenced'])
    expect(await database.waiting(street.channel)).toEqual(idsOf(rows))
    expect(await database.lines(street.channel)).toEqual([])
  })

  test('that waits for a row is not overtaken by a claim', async () => {
    const { street, desk, rows } = await database.scene(['a'])
    const reading = await connect(database.url)
    await reading.query('begin')
    await reading.query('select 1 from waybill.outbox where id = $1 for update', [rows[0]!.id])
    const taking = desk.outbox.take(randomUUID(), [taken(rows[0]!, desk)])
    await untilPurposeWaits(database.observer, 'takes')
    await database.endLeases(street)
    const successor = await database.store.openLeases(street.lane)
    expect(await successor.claim(10)).toEqual([])
    await reading.query('commit')
    expect(await taking).toEqual(['taken'])
    expect(await successor.claim(10)).toHaveLength(1)
    expect(await database.losses(street.channel)).toMatchObject([{ cause: 'process-ended', count: 1 }])
    await successor.close()
  })
})

describe('the end of a batch', () => {
  test('takes its lines away, and counts what was lost of it and nothing else', async () => {
    const { street, desk, rows } = await database.scene(['a', 'b', 'c', 'd', 'e'], 2)
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
    expect((await database.lines(street.channel)).map((line) => line['batch'])).toEqual([other])
    const counted = [
      { consumer: '', cause: 'handler-failed', count: 1, last_id: rows[2]!.id, last_code: 'E' },
      { consumer: '', cause: 'not-sent', count: 2, last_id: rows[1]!.id, last_code: 'LAST' },
    ]
    expect(await database.losses(street.channel)).toEqual(counted)
    // Said again, as after an answer that was lost; and of a batch that nobody knows.
    await desk.outbox.endTaken(batch, [lost(rows[0]!)])
    await desk.outbox.endTaken(randomUUID(), [lost(rows[4]!)])
    expect(await database.losses(street.channel)).toEqual(counted)
    await desk.outbox.endTaken(other, [lost(rows[4]!, { code: 'MORE' })])
    expect(await database.losses(street.channel)).toMatchObject([
      { cause: 'handler-failed', count: 1 },
      { cause: 'not-sent', count: 3, last_id: rows[4]!.id, last_code: 'MORE' },
    ])
    expect(await database.lines(street.channel)).toEqual([])
  })

  test('without losses leaves no trace', async () => {
    const { street, desk, rows } = await database.scene(['a'])
    const batch = randomUUID()
    await desk.outbox.take(batch, [taken(rows[0]!, desk)])
    await desk.outbox.endTaken(batch, [])
    expect(await database.lines(street.channel)).toEqual([])
    await database.endLeases(street)
    await openDesk(database.store, street)
    expect(await database.losses(street.channel)).toEqual([])
  })
})

describe('what a killed owner had taken', () => {
  async function killedScene(): Promise<Scene & { readonly batch: string }> {
    const made = await database.scene(['a', 'b', 'c', 'd', 'e', 'f'], 2)
    const batch = randomUUID()
    await made.desk.outbox.take(
      batch,
      made.rows.map((row) => taken(row, made.desk)),
    )
    return { ...made, batch }
  }

  async function kill(): Promise<void> {
    await database.observer.query(
      `select pg_terminate_backend(pid, 5000) from pg_stat_activity
       where application_name = 'test leases' and datname = current_database()`,
    )
  }

  test('is counted with the next claim, once, and its zombie adds nothing', async () => {
    const { street, desk, rows, batch } = await killedScene()
    await kill()
    const successor = await database.store.openLeases(street.lane)
    expect(await successor.claim(10)).toHaveLength(2)
    const all = [{ consumer: '', cause: 'process-ended', count: 6, last_code: null }]
    expect(await database.losses(street.channel)).toMatchObject(all)
    expect(idsOf(rows)).toContain((await database.losses(street.channel))[0]!['last_id'])
    expect(await database.lines(street.channel)).toEqual([])
    await desk.outbox.endTaken(
      batch,
      rows.map((row) => lost(row)),
    )
    await successor.close()
    await openDesk(database.store, street)
    expect(await database.losses(street.channel)).toMatchObject(all)
  })

  test('is counted for the partitions that were claimed, and not what their new owner takes', async () => {
    const { street, rows } = await killedScene()
    await kill()
    const first = await database.store.openLeases(street.lane)
    const [held] = await first.claim(1)
    const own = rows.filter((row) => row.partition === held!.partition).length
    expect(await database.losses(street.channel)).toMatchObject([{ count: own }])
    expect(await database.lines(street.channel)).toHaveLength(1)
    const outbox = await database.store.openOutbox(street.lane)
    const [id] = await publish(database.store, database.observer, street.channel, message('a'))
    const { rows: where } = await database.observer.query(
      'select partition, seq from waybill.outbox where id = $1',
      [id],
    )
    const { partition, seq } = where[0]
    const other = partition === held!.partition ? held! : (await first.claim(1))[0]!
    const row = { partition, seq: BigInt(seq), id: id!, channel: street.channel, epoch: other.epoch }
    expect(await outbox.take(randomUUID(), [row])).toEqual(['taken'])
    const second = await database.store.openLeases(street.lane)
    await second.claim(10)
    expect((await database.lines(street.channel)).map((line) => line['ids'])).toContainEqual([id])
    await Promise.all([first.close(), second.close(), outbox.close()])
  })

  test('is not counted by a claim that is slow to look, once another owner has taken it', async () => {
    const { street, desk, rows } = await database.scene(['a'])
    await database.endLeases(street)
    const successor = await openDesk(database.store, street)
    await successor.outbox.take(
      randomUUID(),
      rows.map((row) => taken(row, successor)),
    )
    const connections = new Connections({ connectionString: database.url }, context)
    const { lane, first: partition } = street
    const look = (epoch: bigint): Promise<void> =>
      connections.lend('sweep', {}, (connection) =>
        sweep(connection, [{ partition, epoch }], {
          schema: '"waybill"',
          lane,
          logger: silentLogger,
          budgetMs: 10_000,
          keeps: false,
        }),
      )
    await look(desk.epoch(partition))
    await look(successor.epoch(partition))
    expect(await database.losses(street.channel)).toEqual([])
    await look(successor.epoch(partition) + 1n)
    expect(await database.losses(street.channel)).toMatchObject([{ count: 1 }])
  })

  test.for(['the zombie', 'the claim'])(
    'is counted once where both are at it at once and %s was first',
    async (first) => {
      const { street, desk, rows, batch } = await killedScene()
      const [channel] = [street.channel]
      // Whoever is first has the lines, and stands before its count.
      const holder = await connect(database.url)
      const causes = { 'the zombie': 'not-sent', 'the claim': 'process-ended' } as Record<string, string>
      await database.observer.query(
        `insert into waybill.losses (channel, cause, count, last_id) values ($1, $2, 0, gen_random_uuid())`,
        [channel, causes[first]],
      )
      await holder.query('begin')
      await holder.query('select 1 from waybill.losses where channel = $1 for update', [channel])
      await database.endLeases(street)
      const successor = await database.store.openLeases(street.lane)
      const claim = (): Promise<unknown> => successor.claim(10)
      const end = (): Promise<unknown> =>
        desk.outbox.endTaken(
          batch,
          rows.map((row) => lost(row)),
        )
      const work = first === 'the zombie' ? [end, claim] : [claim, end]
      const purposes = first === 'the zombie' ? ['takes', 'sweep'] : ['sweep', 'takes']
      const one = work[0]!()
      await untilPurposeWaits(database.observer, purposes[0]!)
      const two = work[1]!()
      await untilPurposeWaits(database.observer, purposes[1]!)
      await holder.query('commit')
      await Promise.all([one, two])
      expect(await database.losses(channel)).toMatchObject([{ cause: causes[first], count: 6 }])
      expect(await database.lines(channel)).toEqual([])
      await successor.close()
    },
  )
})
