import pg from 'pg'
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import type { OpenTransaction, RunOptions, TransactionRunner } from '../../../src/ports/transaction-runner.ts'
import type { Store } from '../../../src/ports/store.ts'
import { startProxy } from '../../../src/testing/proxy.ts'
import { postgresDatabase } from '../../setup/servers.ts'
import { connect, openStore, untilBlocked } from './support.ts'

let url: string
let store: Store
let pool: pg.Pool
let observer: pg.Client

beforeAll(async () => {
  ;({ url } = await postgresDatabase())
  pool = new pg.Pool({ connectionString: url, max: 1, pipeline: true })
  store = openStore({ pool })
  await store.schema.migrate()
  observer = await connect(url)
  await observer.query('create table business (name text primary key)')
  await observer.query('create table late (name text, unique (name) deferrable initially deferred)')
})

afterAll(() => pool.end())

const options: RunOptions = { idleTimeoutMs: 20_000 }

interface Row {
  readonly first: Promise<unknown>
  /** What became of the one behind it; `undefined`: none could be sent. */
  readonly second: Promise<unknown> | undefined
}

type Work = (client: pg.Client, transaction: OpenTransaction) => Promise<unknown>

const insert =
  (name: string): Work =>
  (client) =>
    client.query('insert into business values ($1)', [name])

/** As a consumer goes about it: the first statement, then what became of the one before, then the rest. */
const afterwards =
  (work: Work): Work =>
  async (client, transaction) => {
    await client.query('select 1')
    await transaction.predecessor
    return await work(client, transaction)
  }

function onClient(work: Work): (transaction: OpenTransaction) => Promise<unknown> {
  return (transaction) => work(transaction.handle as pg.Client, transaction)
}

/** Two transactions, the second sent behind the COMMIT of the first; resolves when both have ended. */
async function row(
  { transactions }: Store,
  first: Work,
  second: Work,
  more: Partial<RunOptions> = {},
): Promise<Row> {
  let behind: Promise<unknown> | undefined
  const onCommitSent = (runner: TransactionRunner): void => {
    behind = runner.run({ ...options, ...more }, onClient(afterwards(second)))
    behind.catch(() => {})
  }
  const running = transactions.run({ ...options, onCommitSent }, onClient(first))
  await running.catch(() => {})
  await behind?.catch(() => {})
  return { first: running, second: behind }
}

async function stored(): Promise<string[]> {
  const { rows } = await observer.query('select name from business order by 1')
  return rows.map(({ name }) => name)
}

async function onceKnown(of: Store): Promise<void> {
  // Whether a pooler stands before the server is found out by the first connection of the store's own.
  await of.inbox.countStart('nobody', '00000000-0000-7000-8000-000000000000')
}

describe('a transaction sent behind another', () => {
  test('is begun on the same client before the other has committed, and sees what that wrote', async () => {
    await onceKnown(store)
    const log: string[] = []
    const client = await pool.connect()
    const query = client.query.bind(client) as (...given: unknown[]) => Promise<unknown>
    onTestFinished(() => void Reflect.deleteProperty(client, 'query'))
    Object.assign(client, {
      query: async (...given: unknown[]) => {
        const text = String(given[0]).split(';', 1)[0]!
        log.push(text)
        const result = await query(...given)
        log.push(`${text}: answered`)
        return result
      },
    })
    client.release()
    const { first, second } = await row(
      store,
      async (own, transaction) => {
        expect(transaction.canBeFollowed).toBe(true)
        return await insert('before')(own, transaction)
      },
      async (own) =>
        (await own.query("select count(*)::int as n from business where name = 'before'")).rows[0].n,
    )
    await first
    expect(await second).toBe(1)
    const at = (text: string): number => log.indexOf(text)
    expect(log.lastIndexOf('BEGIN')).toBeGreaterThan(at('COMMIT'))
    expect(at('select 1')).toBeLessThan(at('COMMIT: answered'))
    expect(pool.idleCount).toBe(1)
  })

  test('is told that a COMMIT before it was refused, and its client is good for others', async () => {
    await onceKnown(store)
    const refused: Work = (client) => client.query(`insert into late values ('twice'), ('twice')`)
    const { first, second } = await row(store, refused, insert('after a refusal'))
    await expect(first).rejects.toMatchObject({ code: '23505' })
    await expect(second).rejects.toMatchObject({ code: '23505' })
    expect(await stored()).not.toContain('after a refusal')
    expect(pool.idleCount).toBe(1)
    const { rows } = await pool.query('select now() = statement_timestamp() as alone')
    expect(rows).toEqual([{ alone: true }])
  })

  test('is not confused by a transaction that ended itself', async () => {
    await onceKnown(store)
    const { first, second } = await row(
      store,
      (client) => client.query('select 1; commit'),
      insert('after an end'),
    )
    await expect(first).rejects.toMatchObject({ code: 'WB_NO_TRANSACTION' })
    await expect(second).rejects.toMatchObject({ code: 'WB_NO_TRANSACTION' })
    expect(await stored()).not.toContain('after an end')
    await store.transactions.run(options, onClient(insert('after both')))
    expect(await stored()).toContain('after both')
  })

  test('rolls back with a connection that was lost before the COMMIT was answered', async () => {
    const proxy = await startProxy({ port: Number(new URL(url).port) })
    onTestFinished(() => proxy.stop())
    const place = new URL(url)
    place.port = String(proxy.port)
    const far = openStore({ connectionString: place.href })
    await onceKnown(far)
    const dropped = proxy.dropReplies({ reply: (chunk: Buffer) => chunk.includes('COMMIT\0') })
    const { first, second } = await row(far, insert('unknown'), insert('behind unknown'))
    await dropped
    await expect(first).rejects.toMatchObject({ code: 'WB_COMMIT_OUTCOME_UNKNOWN' })
    await expect(second).rejects.toMatchObject({ code: 'WB_STORE_UNREACHABLE' })
    expect(await stored()).toContain('unknown')
    expect(await stored()).not.toContain('behind unknown')
    await far.transactions.run(options, onClient(insert('on a new client')))
    expect(await stored()).toContain('on a new client')
  })

  test('leaves the COMMIT before it alone when its own signal aborts', async () => {
    await onceKnown(store)
    const blocker = await connect(url)
    await blocker.query(`begin; insert into late values ('held')`)
    const stopping = new AbortController()
    // At its COMMIT, where the constraint is checked, it waits for the other one's end.
    let client: pg.Client | undefined
    const running = row(
      store,
      (own) => ((client = own), own.query(`insert into late values ('held')`)),
      insert('aborted'),
      { signal: stopping.signal },
    )
    while (client === undefined) await new Promise((resolve) => setImmediate(resolve))
    await untilBlocked(observer, client)
    stopping.abort(new Error('stop'))
    await new Promise((resolve) => setImmediate(resolve))
    await blocker.query('rollback')
    const { first, second } = await running
    await first
    await expect(second).rejects.toThrow()
    expect((await observer.query(`select 1 from late where name = 'held'`)).rows).toHaveLength(1)
    expect(await stored()).not.toContain('aborted')
  })

  test('may not come late, nor be a second one', async () => {
    await onceKnown(store)
    let late: TransactionRunner | undefined
    const seconds: Promise<unknown>[] = []
    const onCommitSent = (behind: TransactionRunner): void => {
      late = behind
      for (let i = 0; i < 2; i++) {
        const one = behind.run(options, onClient(afterwards(insert(`one of ${i}`))))
        one.catch(() => {})
        seconds.push(one)
      }
    }
    await store.transactions.run({ ...options, onCommitSent }, onClient(insert('the first')))
    const outcomes = await Promise.allSettled(seconds)
    expect(outcomes.map(({ status }) => status)).toEqual(['fulfilled', 'rejected'])
    await expect(late!.run(options, onClient(insert('late')))).rejects.toMatchObject({ code: 'WB_ABORTED' })
    expect(await stored()).toEqual(expect.arrayContaining(['one of 0', 'the first']))
  })

  test('does not change what becomes of the one before by what it throws', async () => {
    await onceKnown(store)
    const onCommitSent = (): never => {
      throw new Error('no')
    }
    await store.transactions.run({ ...options, onCommitSent }, onClient(insert('all the same')))
    expect(await stored()).toContain('all the same')
  })

  test('is none where somebody else waits for the client, and none after a hundred in a row', async () => {
    await onceKnown(store)
    const waiting = Promise.withResolvers<pg.PoolClient>()
    const { second } = await row(
      store,
      async () => {
        pool.connect().then(waiting.resolve, waiting.reject)
      },
      insert('pushed in'),
    )
    expect(second).toBeUndefined()
    ;(await waiting.promise).release()

    let length = 0
    const ends: Promise<unknown>[] = []
    const onCommitSent = (behind: TransactionRunner): void =>
      void ends.push(behind.run({ ...options, onCommitSent }, link))
    const link = async ({ predecessor }: OpenTransaction): Promise<void> => {
      length += 1
      await predecessor
    }
    await store.transactions.run({ ...options, onCommitSent }, link)
    for (let i = 0; i < ends.length; i++) await ends[i]
    expect(length).toBe(100)
    expect(pool.idleCount).toBe(1)
  })

  test('is none where the client does not pipeline, or nobody knows whether a pooler shares its session', async () => {
    const plain = new pg.Pool({ connectionString: url, max: 1 })
    onTestFinished(() => plain.end())
    const slow = openStore({ pool: plain })
    await onceKnown(slow)
    expect((await row(slow, insert('not pipelined'), insert('never'))).second).toBeUndefined()
    expect(
      (await row(openStore({ pool }), insert('unknown session'), insert('never'))).second,
    ).toBeUndefined()
  })
})
