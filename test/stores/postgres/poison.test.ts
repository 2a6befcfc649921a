import { beforeAll, describe, expect, test } from 'vitest'
import type pg from 'pg'
import type { LossCause, OutboxRow } from '../../../src/ports/outbox.ts'
import type { Store } from '../../../src/ports/store.ts'
import { postgresDatabase } from '../../setup/servers.ts'
import { followerOf, letterOf, lineOf } from './failures.ts'
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

async function scene(...keys: string[]): Promise<Scene> {
  const street = await openStreet(url, store, { partitions: 1 })
  const desk = await openDesk(store, street)
  await publish(store, observer, street.channel, ...keys.map((key) => message(key)))
  return { street, desk, rows: await desk.reader.read() }
}

/** What a new relay reads, as id and whether it is marked. */
async function seen({ desk, street }: Pick<Scene, 'desk' | 'street'>): Promise<[string, boolean][]> {
  const rows = await new TestReader(desk.outbox, street).read()
  return rows.map(({ id, isParked }) => [id, isParked])
}

async function linesOf(street: Street): Promise<Record<string, unknown>[]> {
  const { rows } = await observer.query(
    `select id, state, attempts, retry_at = 'infinity' as waits, error_code, first_error_code, in_doubt
     from waybill.blocked where channel = $1 order by consumer, seq`,
    [street.channel],
  )
  return rows
}

async function lettersOf(street: Street): Promise<Record<string, unknown>[]> {
  const { rows } = await observer.query(
    `select id, reason, attempts, error_code, first_error_code from waybill.dead where channel = $1 order by seq`,
    [street.channel],
  )
  return rows
}

async function lossesOf(street: Street): Promise<Record<string, unknown>[]> {
  const { rows } = await observer.query(
    'select consumer, cause, count::int as count from waybill.losses where channel = $1 order by cause',
    [street.channel],
  )
  return rows
}

async function statusesOf(street: Street): Promise<string[]> {
  const { rows } = await observer.query(
    `select m.status from waybill.messages m left join waybill.outbox o using (id) left join waybill.dead d using (id)
     where m.type = $1 order by coalesce(o.seq, d.seq)`,
    [street.channel],
  )
  return rows.map(({ status }) => status)
}

async function rewind({ first }: Street): Promise<number> {
  const { rows } = await observer.query(
    `select counter::int as counter from waybill.rewinds where partition = $1 and consumer = ''`,
    [first],
  )
  return rows[0]?.counter ?? 0
}

describe('a blocked line', () => {
  test('holds its key, its own row too, until an operator says so; other keys go on (O1, O2)', async () => {
    const { street, desk, rows } = await scene('a', 'a', 'b')
    expect(await desk.outbox.block([lineOf(rows[0]!, desk, { retryInMs: null })])).toEqual(['written'])
    expect(await linesOf(street)).toMatchObject([{ id: rows[0]!.id, state: 'blocked', waits: true }])
    expect(await seen({ street, desk })).toEqual([[rows[2]!.id, false]])
    expect(await statusesOf(street)).toEqual(['blocked', 'blocked', 'pending'])
    // As an operator does it: line first, counter in the same transaction.
    await observer.query(
      `update waybill.blocked set state = 'retrying', retry_at = now(), attempts = 0 where channel = $1`,
      [street.channel],
    )
    expect(await statusesOf(street)).toEqual(['retrying', 'blocked', 'pending'])
    expect(await seen({ street, desk })).toEqual([
      [rows[2]!.id, false],
      [rows[0]!.id, false],
    ])
  })

  test('makes a read look at so many rows and no more, and say where it stopped', async () => {
    const keys = [...Array<string>(25).fill('a'), 'b', 'c', ...Array<string>(10).fill('a'), 'd']
    const { street, desk, rows } = await scene(...keys)
    const reader = new TestReader(desk.outbox, street)
    const whole = await reader.look({ lookLimit: 3 })
    expect(whole.rows).toHaveLength(keys.length)
    expect([whole.tops.get(street.first), whole.unseen.size]).toEqual([rows.at(-1)!.seq, 0])
    await desk.outbox.block([lineOf(rows[0]!, desk, { retryInMs: null })])
    const found: string[] = []
    const stops: number[] = []
    for (let isOver = false; !isOver;) {
      const { rows: brought, tops, unseen } = await reader.look({ lookLimit: 13 })
      found.push(...brought.map(({ key }) => key!))
      const top = tops.get(street.first)!
      stops.push(rows.findIndex(({ seq }) => seq === top))
      reader.floors.set(street.first, top)
      isOver = unseen.size === 0
    }
    expect(found).toEqual(['b', 'c', 'd'])
    expect(stops).toEqual([12, 25, 37])
    // One that is to be sent may be the last that is looked at, and rows above it are left all the same.
    reader.floors.set(street.first, rows[0]!.seq - 1n)
    const last = await reader.look({ lookLimit: 26 })
    expect([last.rows.map(({ key }) => key), [...last.unseen]]).toEqual([['b'], [street.first]])
    // Cut by how many it may bring, it stops there.
    const cut = await reader.look({ lookLimit: 30, upperLimit: 1 })
    expect([cut.rows.map(({ key }) => key), cut.unseen.size]).toEqual([['b'], 0])
  })

  test('goes with its row once that is delivered after all', async () => {
    const { street, desk, rows } = await scene('a', 'a')
    await desk.outbox.block([lineOf(rows[0]!, desk, { retryInMs: null })])
    await desk.outbox.remove([rows[0]!])
    expect(await linesOf(street)).toEqual([])
    expect(await rewind(street)).toBe(1)
    expect(await seen({ street, desk })).toEqual([[rows[1]!.id, false]])
  })

  test('keeps its first failure, and that an attempt had an unknown outcome', async () => {
    const { street, desk, rows } = await scene('a')
    const [a] = rows
    await desk.outbox.block([lineOf(a!, desk, { errorCode: 'FIRST', isInDoubt: true })])
    await desk.outbox.block([lineOf(a!, desk, { attempts: 2, errorCode: 'SECOND' })])
    await desk.outbox.block([lineOf(a!, desk, { attempts: 3, errorCode: 'LAST', retryInMs: null })])
    expect(await linesOf(street)).toMatchObject([
      { attempts: 3, error_code: 'LAST', first_error_code: 'FIRST', in_doubt: true },
    ])
    await desk.outbox.bury([letterOf(a!, desk, { attempts: 4, errorCode: 'END' })])
    expect(await lettersOf(street)).toMatchObject([
      { attempts: 4, error_code: 'END', first_error_code: 'FIRST' },
    ])
  })

  test('of another row with the same number keeps nothing of it', async () => {
    const { street, desk, rows } = await scene('a')
    await desk.outbox.block([lineOf(rows[0]!, desk, { errorCode: 'OLD', isInDoubt: true })])
    const { id } = message('a')
    await observer.query('update waybill.outbox set id = $1 where id = $2', [id, rows[0]!.id])
    await desk.outbox.block([lineOf({ ...rows[0]!, id }, desk, { errorCode: 'NEW' })])
    expect(await linesOf(street)).toMatchObject([{ id, first_error_code: 'NEW', in_doubt: false }])
  })
})

describe('parking', () => {
  test('makes the head a dead letter and holds its key by a line, in one statement (O1, O5)', async () => {
    const { street, desk, rows } = await scene('a', 'b', 'a')
    await desk.outbox.block([lineOf(rows[0]!, desk, { errorCode: 'FIRST' })])
    expect(await desk.outbox.bury([letterOf(rows[0]!, desk, { parks: true })])).toEqual(['written'])
    expect(await lettersOf(street)).toMatchObject([{ id: rows[0]!.id, reason: 'attempts-exhausted' }])
    expect(await linesOf(street)).toMatchObject([
      { id: rows[0]!.id, state: 'parked', waits: true, attempts: 3, first_error_code: 'FIRST' },
    ])
    expect(await rewind(street)).toBe(1)
    const [more] = await publish(store, observer, street.channel, message('a'))
    expect(await seen({ street, desk })).toEqual([
      [rows[1]!.id, false],
      [rows[2]!.id, true],
      [more, true],
    ])
    expect(await statusesOf(street)).toEqual(['dead', 'pending', 'parked', 'parked'])
    // A second time, its answer having been lost, changes nothing.
    expect(await desk.outbox.bury([letterOf(rows[0]!, desk, { parks: true })])).toEqual(['gone'])
    expect(await linesOf(street)).toHaveLength(1)
    expect(await lettersOf(street)).toHaveLength(1)
  })

  test('needs no line before: a head that is rejected at once parks its key too', async () => {
    const { street, desk, rows } = await scene('a', 'a')
    await desk.outbox.bury([letterOf(rows[0]!, desk, { parks: true, attempts: 1, reason: 'rejected' })])
    expect(await linesOf(street)).toMatchObject([{ id: rows[0]!.id, state: 'parked', attempts: 1 }])
    expect(await seen({ street, desk })).toEqual([[rows[1]!.id, true]])
  })

  test('is not undone by the late confirm of a zombie, and its line is no orphan (PROTOCOLS 3)', async () => {
    const { street, desk, rows } = await scene('a', 'a')
    await desk.outbox.bury([letterOf(rows[0]!, desk, { parks: true })])
    expect(await desk.outbox.remove([rows[0]!])).toEqual({ removed: 0 })
    expect(await linesOf(street)).toMatchObject([{ state: 'parked' }])
    expect((await desk.reader.look()).orphans).toEqual([])
    expect(await seen({ street, desk })).toEqual([[rows[1]!.id, true]])
  })

  test('of an old epoch writes nothing', async () => {
    const { street, desk, rows } = await scene('a')
    const epoch = desk.epoch(street.first) - 1n
    expect(await desk.outbox.bury([letterOf(rows[0]!, desk, { parks: true, epoch })])).toEqual(['fenced'])
    expect(await linesOf(street)).toEqual([])
    expect(await lettersOf(street)).toEqual([])
  })

  test('holds the key in whatever partition it lives since', async () => {
    const { street, desk, rows } = await scene('a', 'a')
    await desk.outbox.bury([letterOf(rows[0]!, desk, { parks: true })])
    await observer.query('update waybill.blocked set partition = -1 where channel = $1', [street.channel])
    expect(await seen({ street, desk })).toEqual([[rows[1]!.id, true]])
  })
})

describe('followers of a parked head', () => {
  async function parked(...keys: string[]): Promise<Scene> {
    const found = await scene(...keys)
    await found.desk.outbox.bury([letterOf(found.rows[0]!, found.desk, { parks: true })])
    return found
  }

  test('are moved beside it, with their own lines, and nothing is sent of them', async () => {
    const { street, desk, rows } = await scene('a', 'a', 'a')
    // The head was put back below one that had failed before.
    await desk.outbox.block([lineOf(rows[1]!, desk, { attempts: 2, errorCode: 'OWN' })])
    await desk.outbox.bury([letterOf(rows[0]!, desk, { parks: true })])
    const followers = rows.slice(1).map((row) => followerOf(row, desk))
    expect(await desk.outbox.moveFollowers(followers)).toEqual(['written', 'written'])
    expect(await lettersOf(street)).toMatchObject([
      { id: rows[0]!.id, reason: 'attempts-exhausted' },
      { id: rows[1]!.id, reason: 'follower', attempts: 2, first_error_code: 'OWN' },
      { id: rows[2]!.id, reason: 'follower', attempts: 0, first_error_code: null },
    ])
    expect(await linesOf(street)).toMatchObject([{ id: rows[0]!.id, state: 'parked' }])
    expect(await seen({ street, desk })).toEqual([])
    expect(await statusesOf(street)).toEqual(['dead', 'parked', 'parked'])
    expect(await desk.outbox.moveFollowers(followers)).toEqual(['gone', 'gone'])
    expect(await lettersOf(street)).toHaveLength(3)
    expect(await desk.outbox.moveFollowers([])).toEqual([])
  })

  test('stay where they are when the line went while they waited for it', async () => {
    const { street, desk, rows } = await parked('a', 'a')
    const operator = await connect(url)
    await operator.query('begin')
    await operator.query('select 1 from waybill.blocked where channel = $1 for update', [street.channel])
    const moving = desk.outbox.moveFollowers([followerOf(rows[1]!, desk)])
    await untilPurposeWaits(observer, 'followers')
    await operator.query('delete from waybill.blocked where channel = $1', [street.channel])
    await operator.query('commit')
    expect(await moving).toEqual(['unparked'])
    expect(await lettersOf(street)).toHaveLength(1)
    expect(await seen({ street, desk })).toEqual([[rows[1]!.id, false]])
  })

  test('stay where they are also where the role has another isolation', async () => {
    const { street, desk, rows } = await parked('a', 'a')
    await observer.query(
      `alter database ${new URL(url).pathname.slice(1)} set default_transaction_isolation to 'repeatable read'`,
    )
    try {
      const successor = await store.openOutbox(street.lane)
      const operator = await connect(url)
      await operator.query('begin')
      await operator.query('update waybill.blocked set attempts = 1 where channel = $1', [street.channel])
      const moving = successor.moveFollowers([followerOf(rows[1]!, desk)])
      await untilPurposeWaits(observer, 'followers')
      await operator.query('delete from waybill.blocked where channel = $1', [street.channel])
      await operator.query('commit')
      expect(await moving).toEqual(['unparked'])
      await successor.close()
    } finally {
      await observer.query(
        `alter database ${new URL(url).pathname.slice(1)} reset default_transaction_isolation`,
      )
    }
  })

  test('keep an operator waiting who would act on their line while they are moved', async () => {
    const { street, desk, rows } = await parked('a', 'a')
    const deleting = await connect(url)
    await deleting.query('begin')
    await deleting.query('select 1 from waybill.outbox where id = $1 for key share', [rows[1]!.id])
    const moving = desk.outbox.moveFollowers([followerOf(rows[1]!, desk)])
    await untilPurposeWaits(observer, 'followers')
    const locked = `select 1 from waybill.blocked where channel = '${street.channel}' for update nowait`
    await expect(deleting.query(`savepoint s; ${locked}`)).rejects.toMatchObject({ code: '55P03' })
    await deleting.query('rollback')
    expect(await moving).toEqual(['written'])
    expect((await observer.query(locked)).rowCount).toBe(1)
  })

  test('of an ended epoch are not moved; of several each is told its own outcome', async () => {
    const { street, desk, rows } = await parked('a', 'a', 'a', 'b')
    await desk.outbox.remove([rows[2]!])
    const [stale, gone, free] = rows.slice(1).map((row) => followerOf(row, desk))
    const epoch = desk.epoch(street.first) - 1n
    const outcomes = await desk.outbox.moveFollowers([{ ...stale!, epoch }, gone!, free!])
    expect(outcomes).toEqual(['fenced', 'gone', 'unparked'])
    expect(await lettersOf(street)).toHaveLength(1)
  })

  test('can be moved again after a failure: the session is made anew, and nothing was half done', async () => {
    const { street, desk, rows } = await parked('a', 'a')
    const blocking = await connect(url)
    await blocking.query('begin')
    await blocking.query('select 1 from waybill.outbox where id = $1 for key share', [rows[1]!.id])
    const moving = desk.outbox.moveFollowers([followerOf(rows[1]!, desk)])
    await untilPurposeWaits(observer, 'followers')
    await observer.query(
      `select pg_terminate_backend(pid) from pg_stat_activity
       where application_name = 'test followers' and datname = current_database() and wait_event_type = 'Lock'`,
    )
    await expect(moving).rejects.toMatchObject({ code: 'WB_STORE_UNREACHABLE' })
    await blocking.query('commit')
    expect(await lettersOf(street)).toHaveLength(1)
    expect(await desk.outbox.moveFollowers([followerOf(rows[1]!, desk)])).toEqual(['written'])
  })
})

const expired = { cause: 'expired', code: null } as const

describe('what has expired', () => {
  test('goes with its line and is counted once, in one statement', async () => {
    const { street, desk, rows } = await scene('a', 'a', 'b')
    await desk.outbox.block([lineOf(rows[0]!, desk)])
    const ref = ({ partition, seq, id, channel }: OutboxRow, cause: LossCause = 'expired') => ({
      ...{ partition, seq, id, channel, cause, code: null },
      epoch: desk.epoch(partition),
    })
    const expired = [ref(rows[0]!), ref(rows[2]!, 'expired-in-doubt')]
    expect(await desk.outbox.lose(expired)).toEqual(['written', 'written'])
    expect(await desk.outbox.lose(expired)).toEqual(['gone', 'gone'])
    expect(await lossesOf(street)).toEqual([
      { consumer: '', cause: 'expired', count: 1 },
      { consumer: '', cause: 'expired-in-doubt', count: 1 },
    ])
    expect(await linesOf(street)).toEqual([])
    expect(await rewind(street)).toBe(1)
    expect(await seen({ street, desk })).toEqual([[rows[1]!.id, false]])
    expect(await desk.outbox.lose([])).toEqual([])
  })

  test('is said to have been in doubt where its line says so', async () => {
    const { street, desk, rows } = await scene('a')
    await desk.outbox.block([lineOf(rows[0]!, desk, { isInDoubt: true })])
    await desk.outbox.lose([{ ...lineOf(rows[0]!, desk), ...expired }])
    expect(await lossesOf(street)).toMatchObject([{ cause: 'expired-in-doubt', count: 1 }])
  })

  test('is counted beside what had its one send on another server and is back', async () => {
    const { street, desk, rows } = await scene('a', 'a')
    await desk.outbox.block([lineOf(rows[0]!, desk, { isInDoubt: true })])
    const lost = rows.map((row) => ({ ...lineOf(row, desk), cause: 'not-sent' as const, code: 'ECONNRESET' }))
    expect(await desk.outbox.lose(lost)).toEqual(['written', 'written'])
    expect(await desk.outbox.lose(lost)).toEqual(['gone', 'gone'])
    expect(await lossesOf(street)).toEqual([{ consumer: '', cause: 'not-sent', count: 2 }])
    expect(await seen({ street, desk })).toEqual([])
    expect(await linesOf(street)).toEqual([])
  })

  test('is left to the successor of an epoch that has ended', async () => {
    const { street, desk, rows } = await scene('a')
    const epoch = desk.epoch(street.first) - 1n
    expect(await desk.outbox.lose([{ ...rows[0]!, epoch, ...expired }])).toEqual(['fenced'])
    expect(await lossesOf(street)).toEqual([])
    expect(await seen({ street, desk })).toHaveLength(1)
  })
})

describe('on the lane of one of several consumers', () => {
  async function lane(...keys: string[]): Promise<Scene & { readonly other: Desk }> {
    const street = await openStreet(url, store, { partitions: 1, consumers: ['one', 'two'] })
    const desk = await openDesk(store, street, 'one')
    const other = await openDesk(store, street, 'two')
    await publish(store, observer, street.channel, ...keys.map((key) => message(key)))
    return { street, desk, other, rows: await desk.reader.read() }
  }

  test('a key is parked with its followers for that consumer alone', async () => {
    const { street, desk, other, rows } = await lane('a', 'a')
    expect(await desk.outbox.bury([letterOf(rows[0]!, desk, { parks: true })])).toEqual(['written'])
    expect(await seen({ street, desk })).toEqual([[rows[1]!.id, true]])
    expect(await desk.outbox.moveFollowers([followerOf(rows[1]!, desk)])).toEqual(['written'])
    expect(await desk.outbox.moveFollowers([followerOf(rows[1]!, desk)])).toEqual(['gone'])
    expect(await seen({ street, desk })).toEqual([])
    const left = await new TestReader(other.outbox, street).read()
    expect(idsOf(left)).toEqual(idsOf(rows))
    expect(await other.outbox.remove(left)).toEqual({ removed: 2 })
    const { rows: letters } = await observer.query(
      'select consumer, reason from waybill.dead where channel = $1 order by seq',
      [street.channel],
    )
    expect(letters).toEqual([
      { consumer: 'one', reason: 'attempts-exhausted' },
      { consumer: 'one', reason: 'follower' },
    ])
  })

  test('what has expired for all of them is counted for each, and the last one deletes it', async () => {
    const { street, desk, other, rows } = await lane('a')
    const row = { ...rows[0]!, ...expired }
    expect(await desk.outbox.lose([{ ...row, epoch: desk.epoch(street.first) }])).toEqual(['written'])
    expect(await seen({ street, desk })).toEqual([])
    expect(await new TestReader(other.outbox, street).read()).toHaveLength(1)
    expect(await other.outbox.lose([{ ...row, epoch: other.epoch(street.first) }])).toEqual(['written'])
    expect(await lossesOf(street)).toEqual([
      { consumer: 'one', cause: 'expired', count: 1 },
      { consumer: 'two', cause: 'expired', count: 1 },
    ])
    const { rowCount } = await observer.query('select from waybill.outbox where channel = $1', [
      street.channel,
    ])
    expect(rowCount).toBe(0)
  })

  test('a message that its consumer has handled meanwhile neither parks nor expires', async () => {
    const { street, desk, rows } = await lane('a')
    await observer.query(`insert into waybill.inbox (consumer, message_id) values ('one', $1)`, [rows[0]!.id])
    expect(await desk.outbox.bury([letterOf(rows[0]!, desk, { parks: true })])).toEqual(['gone'])
    expect(await desk.outbox.lose([{ ...lineOf(rows[0]!, desk), ...expired }])).toEqual(['gone'])
    expect(await linesOf(street)).toEqual([])
    expect(await lettersOf(street)).toEqual([])
    expect(await lossesOf(street)).toEqual([])
  })
})
