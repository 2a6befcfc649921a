import { beforeAll, describe, expect, test } from 'vitest'
import type pg from 'pg'
import type { OutboxRow, ReadRequest } from '../../../src/ports/outbox.ts'
import type { Store } from '../../../src/ports/store.ts'
import { postgresDatabase } from '../../setup/servers.ts'
import { append, connect, message, openDesk, openStore, openStreet, publish } from './support.ts'

let url: string
let store: Store
let observer: pg.Client

beforeAll(async () => {
  ;({ url } = await postgresDatabase())
  store = openStore({ connectionString: url })
  await store.schema.migrate()
  observer = await connect(url)
})

const sizes = (rows: readonly OutboxRow[]): number[] => rows.map(({ payload }) => payload.byteLength)
const sized = (...bytes: number[]): ReturnType<typeof message>[] =>
  bytes.map((each) => message('k', 'x'.repeat(each)))
/** A row that has its share of this, 100 bytes, is always brought. */
const limits: Partial<ReadRequest> = { upperLimit: 10, partitionBytes: 1000 }

test('news that may be more than memory has room for are left to a whole read', async () => {
  const street = await openStreet(url, store, { partitions: 1 })
  const { reader } = await openDesk(store, street)
  await reader.read()
  await publish(store, observer, street.channel, ...sized(300, 100))
  expect(sizes((await reader.news({ limit: 10, bytes: 3000 }))!.rows)).toEqual([300, 100])
  // Each may have a tenth of these.
  expect(await reader.news({ limit: 10, bytes: 2990 })).toBe(null)
})

describe('a read of large payloads', () => {
  test('ends each partition behind the row that fills it, and small rows do not overtake what was left', async () => {
    const street = await openStreet(url, store, { partitions: 2, ordered: false })
    const { reader } = await openDesk(store, street)
    await publish(store, observer, street.channel, ...sized(100, 600, 100, 700, 50, 5000, 10, 10))
    await observer.query('update waybill.outbox set partition = $1 where channel = $2', [
      street.first,
      street.channel,
    ])
    const read = (): Promise<readonly OutboxRow[]> => reader.read(limits)
    expect(sizes(await read())).toEqual([100, 600, 100, 700, 50])
    // One that is larger than everything passes alone.
    expect(sizes(await read())).toEqual([5000, 10, 10])
    expect(await read()).toEqual([])
  })

  test('reckons with nothing but rows that are to be read', async () => {
    const street = await openStreet(url, store, { partitions: 1 })
    const { reader } = await openDesk(store, street)
    await observer.query(
      `insert into waybill.outbox (partition, id, channel, key, payload)
       values ($1, gen_random_uuid(), 'of nobody', 'k', convert_to(repeat('x', 9000), 'UTF8'))`,
      [street.first],
    )
    await publish(store, observer, street.channel, ...sized(300, 900, 200))
    expect(sizes(await reader.read(limits))).toEqual([300, 900])
    expect(sizes(await reader.read(limits))).toEqual([200])
  })

  test('cuts what committed below the floor in the same way', async () => {
    const street = await openStreet(url, store, { partitions: 1 })
    const { reader } = await openDesk(store, street)
    const slow = await connect(url)
    await slow.query('begin')
    await append(store, slow, street.channel, ...sized(900, 800, 700, 10))
    await publish(store, observer, street.channel, message('other'))
    await reader.read(limits)
    await slow.query('commit')
    expect(sizes((await reader.look(limits)).rows)).toEqual([900, 800])
  })

  test('moves the mark of delayed rows to the last one it brought', async () => {
    const street = await openStreet(url, store, { partitions: 1, ordered: false })
    const { reader } = await openDesk(store, street)
    await publish(store, observer, street.channel, ...sized(900, 800, 700, 10))
    await reader.read()
    reader.marks = new Map([[street.first, '0/0']])
    await observer.query(`update waybill.outbox set not_before = now() where channel = $1`, [street.channel])
    reader.last = (await reader.look({ partitions: [] })).snapshot
    expect(sizes(await reader.read(limits))).toEqual([900, 800])
    expect(sizes(await reader.read(limits))).toEqual([700, 10])
  })

  test('brings due retries until they are full', async () => {
    const street = await openStreet(url, store, { partitions: 2, ordered: false })
    const { reader, outbox, epoch } = await openDesk(store, street)
    await publish(store, observer, street.channel, ...sized(1500, 1500, 1500, 10))
    const rows = await reader.read()
    for (const { partition, seq, id, channel } of rows.toSorted((a, b) => Number(a.seq - b.seq))) {
      const failure = { attempts: 1, errorCode: 'E', error: 'e', retryInMs: 0 }
      await outbox.block([{ partition, seq, id, channel, key: null, epoch: epoch(partition), ...failure }])
    }
    const due = async (also: Partial<ReadRequest>): Promise<number[]> =>
      sizes((await reader.look({ ...limits, ...also })).rows.filter(({ origin }) => origin === 'retry'))
    expect(await due({})).toEqual([1500, 1500])
    expect(await due({ partitionBytes: 2000 })).toEqual([1500, 1500, 1500])
    expect(await due({ partitionBytes: 9000 })).toEqual([1500, 1500, 1500, 10])
  })
})
