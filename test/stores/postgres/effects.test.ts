import { beforeAll, describe, expect, test } from 'vitest'
import type pg from 'pg'
import type { OutboxRow } from '../../../src/ports/outbox.ts'
import type { Store } from '../../../src/ports/store.ts'
import { postgresDatabase } from '../../setup/servers.ts'
import { letterOf, lineOf } from './failures.ts'
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

/** As a read answers it. */
function placeAt(block: number, line: number): number {
  return block * 2 ** 16 + line
}

async function count(table: string, where: string, ...values: unknown[]): Promise<number> {
  const { rows } = await observer.query(
    `select count(*)::int as n from waybill.${table} where ${where}`,
    values,
  )
  return rows[0].n
}

async function rewind(partition: number, consumer = ''): Promise<number> {
  const { rows } = await observer.query(
    'select counter::int as counter from waybill.rewinds where partition = $1 and consumer = $2',
    [partition, consumer],
  )
  return rows[0]?.counter ?? 0
}

async function scene(
  ...keys: (string | null)[]
): Promise<{ street: Street; desk: Desk; rows: readonly OutboxRow[] }> {
  const street = await openStreet(url, store, { partitions: 1, ordered: keys.every((key) => key !== null) })
  const desk = await openDesk(store, street)
  await publish(store, observer, street.channel, ...keys.map((key) => message(key)))
  return { street, desk, rows: await desk.reader.read() }
}

describe('removing', () => {
  test('deletes a row only where all three names match', async () => {
    const { street, desk, rows } = await scene('a', 'b')
    const [a, b] = [rows[0]!, rows[1]!]
    expect(
      await desk.outbox.remove([
        { ...a, id: b.id },
        { ...a, partition: a.partition + 1 },
        { ...a, seq: a.seq + 100n },
      ]),
    ).toEqual({
      removed: 0,
    })
    expect(await count('outbox', 'channel = $1', street.channel)).toBe(2)
    expect(await desk.outbox.remove([a, b])).toEqual({ removed: 2 })
    expect(await desk.outbox.remove([a, b])).toEqual({ removed: 0 })
    expect(await desk.outbox.remove([])).toEqual({ removed: 0 })
  })

  test('takes the line away and raises the counter in the same statement, also where the row is gone already', async () => {
    const { desk, rows } = await scene('a', 'b')
    const [a, b] = [rows[0]!, rows[1]!]
    await desk.outbox.remove([b])
    expect(await rewind(a.partition)).toBe(0)
    await desk.outbox.block([lineOf(a, desk)])
    await observer.query('delete from waybill.outbox where id = $1', [a.id])
    expect(await desk.outbox.remove([a])).toEqual({ removed: 0 })
    expect(await count('blocked', 'id = $1', a.id)).toBe(0)
    expect(await rewind(a.partition)).toBe(1)
    await desk.outbox.remove([a])
    expect(await rewind(a.partition)).toBe(1)
  })

  test('deletes a row that is not where a read found it, and none that is there now', async () => {
    const { street, desk, rows } = await scene('a', 'b')
    const [a, b] = [rows[0]!, rows[1]!]
    expect(a.place).toBeDefined()
    // By hand: Waybill never updates a row. It moves to another place.
    await observer.query(`update waybill.outbox set headers = '{"by": "hand"}' where id = $1`, [a.id])
    const stray = { ...a, place: b.place! }
    expect(await desk.outbox.remove([stray])).toEqual({ removed: 1 })
    expect(await count('outbox', 'id = $1', b.id)).toBe(1)
    // Rewritten as by VACUUM FULL: nothing is where it was, and the first place has another row.
    await publish(store, observer, street.channel, message('c'))
    await observer.query('vacuum full waybill.outbox')
    expect(
      await desk.outbox.remove([
        { ...a, place: placeAt(0, 1) },
        { ...b, place: placeAt(7, 1) },
      ]),
    ).toEqual({ removed: 1 })
    expect(await count('outbox', 'channel = $1', street.channel)).toBe(1)
  })

  test('takes lines away with rows where they were found, those of rows that are gone too', async () => {
    const { desk, rows } = await scene('a', 'b', 'c')
    const [a, b, c] = [rows[0]!, rows[1]!, rows[2]!]
    await desk.outbox.block([a, b].map((row) => lineOf(row, desk)))
    const nowhere = { partition: c.partition, seq: c.seq, id: c.id }
    expect(await desk.outbox.remove([a, nowhere])).toEqual({ removed: 2 })
    expect(await count('blocked', 'partition = $1', a.partition)).toBe(1)
    expect(await rewind(a.partition)).toBe(1)
    expect(await desk.outbox.remove([b])).toEqual({ removed: 1 })
    expect(await count('blocked', 'partition = $1', a.partition)).toBe(0)
    expect(await rewind(a.partition)).toBe(2)
  })

  test('needs no lease: a zombie may delete what the broker has confirmed', async () => {
    const { street, desk, rows } = await scene('a')
    await desk.leases.close()
    const successor = await openDesk(store, street)
    expect(successor.epoch(street.first)).toBeGreaterThan(desk.epoch(street.first))
    expect(await desk.outbox.remove(rows)).toEqual({ removed: 1 })
  })

  test('leaves the line of another row with the same number alone', async () => {
    const { desk, rows } = await scene('a')
    const [a] = rows
    await desk.outbox.block([lineOf(a!, desk)])
    await desk.outbox.remove([{ ...a!, id: message('x').id }])
    expect(await count('blocked', 'id = $1', a!.id)).toBe(1)
  })
})

describe('a line', () => {
  test('without a key holds its row only, on an unordered channel', async () => {
    const { street, desk, rows } = await scene(null, null)
    await desk.outbox.block([lineOf(rows[0]!, desk, { key: null, retryInMs: 3_600_000 })])
    expect(idsOf(await new TestReader(desk.outbox, street).read())).toEqual([rows[1]!.id])
  })

  test('is renewed by a second failure, by the clock of the database', async () => {
    const { desk, rows } = await scene('a')
    await desk.outbox.block([lineOf(rows[0]!, desk)])
    await desk.outbox.block([
      lineOf(rows[0]!, desk, { attempts: 2, retryInMs: 60_000, errorCode: 'F', error: 'again' }),
    ])
    const { rows: lines } = await observer.query(
      `select attempts, error_code, error, extract(epoch from retry_at - now())::int as left
       from waybill.blocked where id = $1`,
      [rows[0]!.id],
    )
    expect(lines).toEqual([{ attempts: 2, error_code: 'F', error: 'again', left: expect.any(Number) }])
    expect(lines[0].left).toBeGreaterThan(30)
    expect(lines[0].left).toBeLessThan(90)
  })

  test('of a row that is gone is not written; of an old epoch neither; the others are; outcomes come in order', async () => {
    const { desk, rows } = await scene('a', 'b', 'c')
    await desk.outbox.remove([rows[1]!])
    const lines = [
      lineOf(rows[0]!, desk, { epoch: desk.epoch(rows[0]!.partition) - 1n }),
      lineOf(rows[1]!, desk),
      lineOf(rows[2]!, desk),
    ]
    expect(await desk.outbox.block(lines)).toEqual(['fenced', 'gone', 'written'])
    expect(await count('blocked', 'id = any($1)', idsOf(rows))).toBe(1)
    expect(await desk.outbox.block([])).toEqual([])
  })

  test('whose row is gone comes as an orphan when it is due, and opens its key when it is handed to remove', async () => {
    const { street, desk, rows } = await scene('a', 'a')
    await desk.outbox.block([lineOf(rows[0]!, desk)])
    await observer.query('delete from waybill.outbox where id = $1', [rows[0]!.id])
    const result = await desk.reader.look()
    const { partition, seq, id } = rows[0]!
    expect(result).toMatchObject({ rows: [], orphans: [{ partition, seq, id }] })
    await desk.outbox.remove(result.orphans)
    expect(idsOf(await new TestReader(desk.outbox, street).read())).toEqual([rows[1]!.id])
  })

  test('of a zombie changes nothing, and neither does its dead letter (P5, R1)', async () => {
    const { street, desk, rows } = await scene('a')
    const successor = await store.openLeases(street.lane)
    await observer.query(
      `update waybill.partitions set lease_until = now() - interval '1 s' where transport = $1`,
      [street.transport],
    )
    const [gained] = await successor.claim(10)
    expect(gained!.epoch).toBe(desk.epoch(street.first) + 1n)
    expect(await desk.outbox.block([lineOf(rows[0]!, desk)])).toEqual(['fenced'])
    expect(await desk.outbox.bury([letterOf(rows[0]!, desk)])).toEqual(['fenced'])
    expect(await count('blocked', 'id = $1', rows[0]!.id)).toBe(0)
    expect(await count('dead', 'id = $1', rows[0]!.id)).toBe(0)
    expect(await count('outbox', 'id = $1', rows[0]!.id)).toBe(1)
    expect(await rewind(street.first)).toBe(0)
    await successor.close()
  })

  test('that waits for its row does not hold up the renewal of the lease (R4)', async () => {
    const { desk, rows } = await scene('a')
    const deleting = await connect(url)
    await deleting.query('begin')
    await deleting.query('delete from waybill.outbox where id = $1', [rows[0]!.id])
    const waiting = desk.outbox.block([lineOf(rows[0]!, desk)])
    await untilPurposeWaits(observer, 'lines')
    const held = [{ partition: rows[0]!.partition, epoch: desk.epoch(rows[0]!.partition) }]
    expect(await desk.leases.renew(held, false)).toEqual(held)
    const other = await store.openLeases({ transport: await laneOf(rows[0]!.partition), consumer: '' })
    await observer.query(
      "update waybill.partitions set lease_until = now() - interval '1 s' where partition = $1",
      [rows[0]!.partition],
    )
    // A claim would end the epoch the line is being written for: it passes that partition by.
    expect(await other.claim(10)).toEqual([])
    await deleting.query('commit')
    expect(await waiting).toEqual(['gone'])
    expect(await other.claim(10)).toHaveLength(1)
    await other.close()
  })
})

async function laneOf(partition: number): Promise<string> {
  const { rows } = await observer.query('select transport from waybill.partitions where partition = $1', [
    partition,
  ])
  return rows[0].transport
}

describe('a dead letter', () => {
  test('is copy, delete of row and line and raise of the counter at once (O5)', async () => {
    const { street, desk, rows } = await scene('a', 'a')
    await desk.outbox.block([lineOf(rows[0]!, desk)])
    expect(await desk.outbox.bury([letterOf(rows[0]!, desk, { reason: 'rejected' })])).toEqual(['written'])
    const { rows: dead } = await observer.query('select * from waybill.dead where id = $1', [rows[0]!.id])
    expect(dead).toHaveLength(1)
    expect(dead[0]).toMatchObject({
      consumer: '',
      channel: street.channel,
      key: 'a',
      content_type: 'text/plain',
      partition: street.first,
      seq: rows[0]!.seq.toString(),
      attempts: 3,
      reason: 'rejected',
      error_code: 'E',
      error: 'why',
    })
    expect(dead[0].payload.equals(Buffer.from(rows[0]!.payload))).toBe(true)
    expect(await count('blocked', 'id = $1', rows[0]!.id)).toBe(0)
    expect(await rewind(street.first)).toBe(1)
    expect(idsOf(await new TestReader(desk.outbox, street).read())).toEqual([rows[1]!.id])
    expect(await desk.outbox.bury([letterOf(rows[0]!, desk)])).toEqual(['gone'])
    expect(await count('dead', 'id = $1', rows[0]!.id)).toBe(1)
  })

  test('stores bytes that are no text, and an error as long as it comes', async () => {
    const { desk, rows } = await scene('a')
    const error = 'ошибка 🚚 '.repeat(500)
    await desk.outbox.bury([letterOf(rows[0]!, desk, { error })])
    expect(await count('dead', 'id = $1 and error = $2', rows[0]!.id, error)).toBe(1)
  })
})

describe('a read', () => {
  test('on a key with several lines brings the lowest only', async () => {
    const { desk, rows } = await scene('a', 'a', 'b')
    await desk.outbox.block([lineOf(rows[1]!, desk), lineOf(rows[0]!, desk), lineOf(rows[2]!, desk)])
    const { rows: found } = await desk.reader.look()
    expect(idsOf(found.filter((row) => row.origin === 'retry')).toSorted()).toEqual(
      [rows[0]!.id, rows[2]!.id].toSorted(),
    )
  })

  test('limits due retries, the longest due first', async () => {
    const { desk, rows } = await scene('a', 'b', 'c')
    for (const row of [rows[2]!, rows[0]!, rows[1]!]) await desk.outbox.block([lineOf(row, desk)])
    const { rows: found } = await desk.reader.look({ retryLimit: 2 })
    expect(idsOf(found)).toEqual([rows[2]!.id, rows[0]!.id])
  })

  test('is not starved of due retries by those of a channel that was not asked for (O2, P7)', async () => {
    const { street, desk, rows } = await scene('a')
    const held = `${street.channel}-held`
    const { transport } = street
    await store.schema.register(
      [{ channel: held, transport, address: held, ordered: true, maxBytes: 100 }],
      [],
      1,
    )
    await publish(store, observer, held, ...['x', 'y', 'z'].map((key) => message(key)))
    const others = await new TestReader(desk.outbox, street, [held]).read()
    expect(others).toHaveLength(3)
    await desk.outbox.block(others.map((row) => lineOf(row, desk)))
    await desk.outbox.block([lineOf(rows[0]!, desk)])
    const { rows: found } = await desk.reader.look({ retryLimit: 2 })
    expect(idsOf(found)).toEqual([rows[0]!.id])
  })

  test('is not starved of due retries by those of a fence that is not ready (P7)', async () => {
    const street = await openStreet(url, store, { partitions: 2 })
    const desk = await openDesk(store, street)
    const keys = Array.from({ length: 20 }, (_, i) => message(`key ${i}`))
    await publish(store, observer, street.channel, ...keys)
    const rows = await desk.reader.read()
    const [stopped, other] = street.partitions as [number, number]
    const held = rows.filter(({ partition }) => partition === stopped)
    const free = rows.find(({ partition }) => partition === other)!
    expect(held.length).toBeGreaterThan(2)
    await desk.outbox.block(held.map((row) => lineOf(row, desk)))
    await desk.outbox.block([lineOf(free, desk)])
    const due = async (channel: string): Promise<string[]> => {
      const withoutRetries = { partitions: [stopped], channels: [channel] }
      return idsOf((await desk.reader.look({ retryLimit: 2, withoutRetries })).rows)
    }
    expect(await due(street.channel)).toEqual([free.id])
    expect(await due('another')).not.toContain(free.id)
  })

  test('returns the rewind counter of each partition asked for', async () => {
    const { street, desk, rows } = await scene('a')
    expect([...(await desk.reader.look()).rewinds]).toEqual([[street.first, 0n]])
    await desk.outbox.block([lineOf(rows[0]!, desk)])
    await desk.outbox.remove(rows)
    expect([...(await desk.reader.look()).rewinds]).toEqual([[street.first, 1n]])
  })
})
