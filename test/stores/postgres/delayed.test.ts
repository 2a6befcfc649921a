import { beforeAll, describe, expect, test } from 'vitest'
import type pg from 'pg'
import type { NewMessage } from '../../../src/ports/outbox-writer.ts'
import type { Store } from '../../../src/ports/store.ts'
import { pgExecutor } from '../../../src/transactions/pg.ts'
import { postgresDatabase } from '../../setup/servers.ts'
import { connect, idsOf, message, openDesk, openStore, openStreet, publish } from './support.ts'

const nothings = (count: number): NewMessage[] => Array.from({ length: count }, () => message(null))

let url: string
let store: Store
let observer: pg.Client

beforeAll(async () => {
  ;({ url } = await postgresDatabase())
  store = openStore({ connectionString: url })
  await store.schema.migrate()
  observer = await connect(url)
})

describe('a read of delayed rows', () => {
  const delay = async (ids: readonly string[], when: string): Promise<void> => {
    await observer.query(`update waybill.outbox set not_before = ${when} where id = any($1)`, [ids])
  }

  test('brings each once, when it is due by the clock of the database, though the floor has passed it', async () => {
    const street = await openStreet(url, store, { ordered: false, partitions: 1 })
    const { reader } = await openDesk(store, street)
    const [first, second, third] = await publish(store, observer, street.channel, ...nothings(3))
    await delay([first!, second!], "now() + interval '1 hour'")
    expect(idsOf(await reader.read())).toEqual([third])
    expect(await reader.read()).toEqual([])
    // As if an hour had passed between the last read and the next.
    reader.marks = new Map([[street.first, `${(Date.now() - 60_000) * 1000}/0`]])
    await delay([second!], "now() - interval '2 seconds'")
    await delay([first!], "now() - interval '1 second'")
    const rows = await reader.read()
    expect(rows.map(({ id, origin }) => [id, origin])).toEqual([
      [second, 'delayed'],
      [first, 'delayed'],
    ])
    // Its age begins when its delay ends; where it began before it was published, then.
    const { rows: times } = await observer.query(
      'select id, not_before, created_at from waybill.outbox where id = any($1)',
      [[first, second, third]],
    )
    for (const { id, not_before: notBefore, created_at: createdAt } of times) {
      const row = rows.find((each) => each.id === id)
      if (row !== undefined) expect(row.dueAt).toEqual(notBefore > createdAt ? notBefore : createdAt)
    }
    expect(times.filter(({ not_before: notBefore }) => notBefore !== null)).toHaveLength(2)
    expect(await reader.read()).toEqual([])
  })

  test('goes on behind the last one where the limit cut it, also among rows of one time', async () => {
    const street = await openStreet(url, store, { ordered: false, partitions: 2 })
    const { reader } = await openDesk(store, street)
    const ids = await publish(store, observer, street.channel, ...nothings(40))
    await delay(ids, "now() + interval '1 hour'")
    await reader.read()
    for (const partition of street.partitions) reader.floors.set(partition, 2n ** 60n)
    reader.marks = new Map(street.partitions.map((partition) => [partition, '0/0']))
    await delay(ids.slice(0, 30), "timestamptz '2001-01-01'")
    await delay(ids.slice(30), "timestamptz '2001-01-01' + interval '1 microsecond'")
    const found: string[] = []
    for (
      let rows = await reader.read({ upperLimit: 3 });
      rows.length > 0;
      rows = await reader.read({ upperLimit: 3 })
    ) {
      expect(rows.length).toBeLessThanOrEqual(6)
      found.push(...idsOf(rows))
    }
    expect(found.toSorted()).toEqual(ids.toSorted())
  })

  test('brings what commits after its time, below the floor and the mark, as late', async () => {
    const street = await openStreet(url, store, { ordered: false, partitions: 1 })
    const { reader } = await openDesk(store, street)
    const slow = await connect(url)
    await slow.query('begin')
    const low = message(null)
    await store.writer.append(pgExecutor(slow), street.channel, [low], { at: new Date(0) })
    await publish(store, observer, street.channel, ...nothings(1))
    expect(await reader.read()).toHaveLength(1)
    await slow.query('commit')
    expect((await reader.read()).map(({ id, origin }) => [id, origin])).toEqual([[low.id, 'late']])
    expect(await reader.read()).toEqual([])
  })

  test('leaves out what has a line, and brings it when its line is due and its delay has ended', async () => {
    const street = await openStreet(url, store, { ordered: false, partitions: 1 })
    const { reader, outbox, epoch } = await openDesk(store, street)
    const [id] = await publish(store, observer, street.channel, ...nothings(1))
    const [row] = await reader.read()
    const { partition, seq } = row!
    const failure = { attempts: 1, errorCode: 'E', error: 'e', retryInMs: 0 }
    await outbox.block([
      { partition, seq, id: id!, channel: street.channel, key: null, epoch: epoch(partition), ...failure },
    ])
    reader.marks = new Map([[partition, '0/0']])
    await delay([id!], "now() + interval '1 hour'")
    expect(await reader.read()).toEqual([])
    await delay([id!], "now() - interval '1 hour'")
    reader.marks = new Map([[partition, '0/0']])
    expect((await reader.read()).map(({ origin }) => origin)).toEqual(['retry'])
  })

  test('tells when the next one is due, and how high the numbers go, whatever is eligible', async () => {
    const street = await openStreet(url, store, { ordered: false, partitions: 1 })
    const { reader } = await openDesk(store, street)
    expect(await reader.look()).toMatchObject({ nextDueInMs: null, tops: new Map() })
    const ids = await publish(store, observer, street.channel, ...nothings(2))
    await delay([ids[0]!], "now() + interval '10 minutes'")
    await delay([ids[1]!], "now() + interval '300 days'")
    const result = await reader.look()
    expect(result.nextDueInMs).toBeGreaterThan(500_000)
    expect(result.nextDueInMs).toBeLessThanOrEqual(600_000)
    const { rows } = await observer.query(
      'select max(seq)::text as top from waybill.outbox where channel = $1',
      [street.channel],
    )
    expect(result.tops).toEqual(new Map([[street.first, BigInt(rows[0].top)]]))
    expect(result.rows).toEqual([])
  })
})
