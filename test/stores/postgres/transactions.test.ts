import { beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import pg from 'pg'
import type { RunOptions } from '../../../src/ports/transaction-runner.ts'
import type { Store } from '../../../src/ports/store.ts'
import { Transaction } from '../../../src/stores/postgres/transaction.ts'
import { type Proxy, startProxy } from '../../../src/testing/proxy.ts'
import { until } from '../../../src/testing/until.ts'
import { postgresDatabase } from '../../setup/servers.ts'
import { connect, message, openStore, openStreet, untilBlocked } from './support.ts'

let url: string
let store: Store
let observer: pg.Client

beforeAll(async () => {
  ;({ url } = await postgresDatabase())
  store = openStore({ connectionString: url })
  await store.schema.migrate()
  observer = await connect(url)
  await observer.query('create table business (name text primary key, check (name <> $$bad$$))')
  await observer.query('create table late (name text, unique (name) deferrable initially deferred)')
})

const options: RunOptions = { idleTimeoutMs: 20_000 }

async function stored(): Promise<string[]> {
  const { rows } = await observer.query('select name from business order by 1')
  return rows.map(({ name }) => name)
}

let numbers = 0
/** A name nobody else uses. */
function name(): string {
  return `name-${++numbers}`
}

function insert(client: pg.Client, value: string): Promise<unknown> {
  return client.query('insert into business values ($1)', [value])
}

/** The store reached through a proxy, and the proxy. */
async function throughProxy(
  changes: { statementTimeoutMs?: number } = {},
): Promise<{ store: Store; proxy: Proxy }> {
  const proxy = await startProxy({ port: Number(new URL(url).port) })
  onTestFinished(() => proxy.stop())
  const place = new URL(url)
  place.port = String(proxy.port)
  return { store: openStore({ connectionString: place.href }, changes), proxy }
}

/** The server's process behind a client. */
function processOf(client: pg.ClientBase): unknown {
  return (client as { processID?: unknown }).processID
}

/** The inside of a socket. */
type Writes = Record<'_write' | '_writev', (...given: unknown[]) => unknown>

describe.for([{ pipeline: true }, { pipeline: false }])(
  'a transaction, pipelined $pipeline',
  ({ pipeline }) => {
    let pool: pg.Pool
    let mine: Store

    beforeAll(() => {
      pool = new pg.Pool({ connectionString: url, max: 2, pipeline })
      mine = openStore({ pool: pool })
      return () => pool.end()
    })

    function run<T>(work: (client: pg.Client) => Promise<T>, changes: Partial<RunOptions> = {}): Promise<T> {
      return mine.transactions.run({ ...options, ...changes }, ({ handle }) => work(handle as pg.Client))
    }

    test('commits, and gives back what the work returned', async () => {
      const a = name()
      expect(await run(async (client) => (await insert(client, a), 42))).toBe(42)
      expect(await stored()).toContain(a)
    })

    test('rolls back when the work throws, and throws the same error', async () => {
      const a = name()
      const error = new Error('no')
      const work = async (client: pg.Client): Promise<never> => {
        await insert(client, a)
        throw error
      }
      await expect(run(work)).rejects.toBe(error)
      expect(await stored()).not.toContain(a)
    })

    test('includes statements that the work did not await', async () => {
      const a = name()
      await run((client) => {
        void insert(client, a)
        return Promise.resolve()
      })
      expect(await stored()).toContain(a)
    })

    test('rolls back, and says so, when a statement failed that the work did not await or whose error it swallowed', async () => {
      const a = name()
      for (const isAwaited of [true, false]) {
        const work = async (client: pg.Client): Promise<void> => {
          await insert(client, a)
          const failing = insert(client, 'bad').catch(() => {})
          if (isAwaited) await failing
        }
        const error = await run(work).catch((e: unknown) => e)
        expect(error).toMatchObject({ code: 'WB_TRANSACTION_ROLLED_BACK', cause: { code: '23514' } })
      }
      expect(await stored()).not.toContain(a)
    })

    test('leaves in one write where none of it is awaited, and in as many as it must where it is', async () => {
      const [a, b, c] = [name(), name(), name()]
      let writes = 0
      const watched = await pool.connect()
      const { stream } = (watched as unknown as { connection: { stream: Writes } }).connection
      for (const method of ['_write', '_writev'] as const) {
        const original = stream[method]
        stream[method] = function (this: Writes, ...given: unknown[]) {
          writes += 1
          return original.apply(this, given)
        }
      }
      watched.release()
      await run(async (client) => {
        expect(processOf(client)).toBe(processOf(watched))
        void insert(client, a)
        void insert(client, b)
      })
      expect(writes === 1).toBe(pipeline)
      writes = 0
      await run((client) => insert(client, c))
      expect(writes).toBeGreaterThan(1)
      expect(await stored()).toEqual(expect.arrayContaining([a, b, c]))
    })

    test('commits what stood before a savepoint that was rolled back to, and nothing after it', async () => {
      const [a, b] = [name(), name()]
      await run(async (client) => {
        await insert(client, a)
        await client.query('savepoint s')
        await insert(client, b)
        await insert(client, 'bad').catch(() => {})
        await client.query('rollback to s')
      })
      const names = await stored()
      expect(names).toContain(a)
      expect(names).not.toContain(b)
    })

    test("throws the driver's error when COMMIT itself is refused, and nothing is stored", async () => {
      const work = async (client: pg.Client): Promise<void> => {
        await client.query(`insert into late values ('twice'), ('twice')`)
      }
      await expect(run(work)).rejects.toMatchObject({ code: '23505' })
      expect((await observer.query('select 1 from late')).rows).toEqual([])
    })

    test('that its work ended itself is told to its owner', async () => {
      for (const statement of ['commit', 'rollback']) {
        await expect(run((client) => client.query(statement))).rejects.toMatchObject({
          code: 'WB_NO_TRANSACTION',
        })
      }
    })

    test('has nothing to do with who still holds its handle when the next has its client', async () => {
      const [kept, a, b] = [{} as { client?: pg.Client }, name(), name()]
      await run(async (client) => {
        kept.client = client
        await insert(client, a)
      })
      const late = kept.client!
      const refusal = expect.objectContaining({ code: 'WB_NO_TRANSACTION' })
      await run(async (next) => {
        await insert(next, b)
        expect(next).not.toBe(late)
        expect(late.getTransactionStatus()).toBe('I')
        await expect(insert(late, name())).rejects.toEqual(refusal)
        const { promise, resolve } = Promise.withResolvers<Error>()
        late.query('select 1', resolve)
        expect(await promise).toEqual(refusal)
      })
      expect(await stored()).toEqual(expect.arrayContaining([a, b]))
    })

    test('may be wrapped by its work, and only for its own time', async () => {
      const [a, b] = [name(), name()]
      const seen: unknown[] = []
      for (const value of [a, b]) {
        await run(async (client) => {
          const query = client.query.bind(client) as (...given: unknown[]) => unknown
          if (value === a)
            Object.assign(client, { query: (...given: unknown[]) => (seen.push(given[1]), query(...given)) })
          await insert(client, value)
        })
      }
      expect(seen).toEqual([[a]])
      expect(await stored()).toEqual(expect.arrayContaining([a, b]))
    })

    test('gives its client back clean: none is lost, none is in a transaction, none has listeners left', async () => {
      const counts = new Set<number>()
      for (let i = 0; i < 12; i++) {
        await run(async (client) => {
          counts.add(client.listenerCount('error') + client.listenerCount('notice'))
          if (i % 3 === 0) throw new Error('no')
          if (i % 3 === 1) await insert(client, 'bad').catch(() => {})
        }).catch(() => {})
      }
      expect(counts.size).toBe(1)
      expect(pool.totalCount).toBeLessThanOrEqual(2)
      expect(pool.idleCount).toBe(pool.totalCount)
      for (let i = 0; i < 2; i++) {
        const { rows } = await pool.query(
          'select pg_current_xact_id_if_assigned() as xid, now() = statement_timestamp() as alone',
        )
        expect(rows).toEqual([{ xid: null, alone: true }])
      }
    })

    test('ends by the server when it stands idle for too long, and its connection is not used again', async () => {
      const a = name()
      const work = async (client: pg.Client): Promise<void> => {
        await insert(client, a)
        const { rows } = await client.query('select pg_backend_pid() as pid')
        await until('the end of the idle session', async () => {
          const { rows: found } = await observer.query('select 1 from pg_stat_activity where pid = $1', [
            rows[0].pid,
          ])
          return found.length === 0
        })
      }
      await expect(run(work, { idleTimeoutMs: 50 })).rejects.toMatchObject({ code: 'WB_STORE_UNREACHABLE' })
      expect(await stored()).not.toContain(a)
      await run((client) => insert(client, a))
      expect(await stored()).toContain(a)
    })

    test.for(['deallocate all', 'set default_transaction_read_only = on'])(
      'leaves no session behind on which the next one would fail as it has: %s',
      async (reset) => {
        const single = new pg.Pool({ connectionString: url, max: 1, pipeline })
        onTestFinished(() => single.end())
        const own = openStore({ pool: single })
        const street = await openStreet(url, own)
        const publish = (before: string): Promise<unknown> =>
          own.transactions.run(options, async ({ handle, executor }) => {
            await (handle as pg.Client).query(before)
            return await own.writer.append(executor, street.channel, [message('k')], null)
          })
        await own.schema.check()
        await publish('select 1')
        const session = await single.connect()
        await session.query(reset)
        session.release()
        await expect(publish('select 1')).rejects.toMatchObject({ retryable: 'yes' })
        await publish('select 1')
      },
    )

    test('whose connection is lost before COMMIT has rolled back, and says that it may be run again', async () => {
      const a = name()
      const work = async (client: pg.Client): Promise<void> => {
        await insert(client, a)
        const lost = new Promise((resolve) => client.once('error', resolve))
        await observer.query('select pg_terminate_backend($1, 5000)', [
          (client as never as { processID: number }).processID,
        ])
        await lost
      }
      await expect(run(work)).rejects.toMatchObject({ code: 'WB_STORE_UNREACHABLE', retryable: 'yes' })
      expect(await stored()).not.toContain(a)
    })

    test('says of a statement behind the end of its connection what that ended with', async () => {
      const running = mine.transactions.run({ idleTimeoutMs: 100 }, async ({ handle, executor }) => {
        const ended = new Promise((resolve) => (handle as pg.Client).once('error', resolve))
        await (handle as pg.Client).query('select 1')
        await ended
        await executor.execute({ name: 'one', text: 'select 1 as one' }, [])
      })
      await expect(running).rejects.toMatchObject({ code: 'WB_STORE_UNREACHABLE', cause: { code: '25P03' } })
    })

    test('is not begun when its signal has aborted, and rolls back when it aborts on the way', async () => {
      const a = name()
      await expect(run((client) => insert(client, a), { signal: AbortSignal.abort() })).rejects.toMatchObject(
        {
          code: 'WB_ABORTED',
        },
      )
      const stopping = new AbortController()
      const work = async (client: pg.Client): Promise<void> => {
        await insert(client, a)
        stopping.abort(new Error('stop'))
      }
      await expect(run(work, { signal: stopping.signal })).rejects.toThrow('stop')
      expect(await stored()).not.toContain(a)
    })

    test('ends at once when its signal aborts while a statement of it is under way', async () => {
      const blocker = await connect(url)
      await blocker.query('begin; lock table business')
      const stopping = new AbortController()
      const a = name()
      const patient = openStore({ pool: pool }, { lockTimeoutMs: 3_600_000 })
      const { promise: begun, resolve: hasBegun } = Promise.withResolvers<pg.Client>()
      const running = patient.transactions.run(
        { ...options, signal: stopping.signal },
        async ({ handle }) => {
          hasBegun(handle as pg.Client)
          await insert(handle as pg.Client, a)
        },
      )
      await untilBlocked(observer, await begun)
      stopping.abort()
      await expect(running).rejects.toThrow()
      await blocker.query('rollback')
      expect(await stored()).not.toContain(a)
    })

    test('waits for a lock only so long', async () => {
      const blocker = await connect(url)
      await blocker.query('begin; lock table business')
      const impatient = openStore({ pool: pool }, { lockTimeoutMs: 50 })
      const waiting = impatient.transactions.run(options, ({ handle }) => insert(handle as pg.Client, name()))
      await expect(waiting).rejects.toMatchObject({ code: '55P03' })
      await blocker.query('rollback')
    })
  },
)

describe('a transaction whose answer to COMMIT is lost', () => {
  const isCommitReply = { reply: (chunk: Buffer) => chunk.includes('COMMIT\0') }

  test('is of unknown outcome, and carries the id by which the database knows it (F2, A5)', async () => {
    const { store: far, proxy } = await throughProxy()
    const street = await openStreet(url, store)
    const a = name()
    const dropped = proxy.dropReplies(isCommitReply)
    const error = await far.transactions
      .run(options, async ({ handle, executor }) => {
        await insert(handle as pg.Client, a)
        await far.writer.append(executor, street.channel, [message('k')], null)
      })
      .catch((e: unknown) => e)
    await dropped
    expect(error).toMatchObject({ code: 'WB_COMMIT_OUTCOME_UNKNOWN', retryable: 'unknown' })
    const { transactionId } = error as { transactionId: string }
    expect((await observer.query('select pg_xact_status($1::xid8) as s', [transactionId])).rows[0].s).toBe(
      'committed',
    )
    expect(await stored()).toContain(a)
    // The pool has thrown that client away.
    expect(
      await far.transactions.run(options, async ({ handle }) => await insert(handle as pg.Client, name())),
    ).toBeTruthy()
  })

  test('is of unknown outcome also where the answer to BEGIN, which travelled with it, is lost too', async () => {
    const lost = new Error('Connection terminated unexpectedly')
    const sent: unknown[] = []
    const client = {
      pipeline: true,
      query: (text: unknown) => {
        sent.push(text)
        return Promise.reject(lost)
      },
      on() {},
      off() {},
      release() {},
    }
    const limits = { statementTimeoutMs: 1000, lockTimeoutMs: 1000 }
    const running = new Transaction(client as never, options, limits).run(() => Promise.resolve())
    await expect(running).rejects.toMatchObject({ code: 'WB_COMMIT_OUTCOME_UNKNOWN', cause: lost })
    expect(sent).toEqual([expect.stringMatching(/^BEGIN/u), 'COMMIT'])
  })

  test('is of unknown outcome after a time where the answer just does not come', async () => {
    const { store: far, proxy } = await throughProxy({ statementTimeoutMs: 300 })
    const a = name()
    const dropped = proxy.dropReplies({ ...isCommitReply, instead: 'silence' })
    const running = far.transactions.run(
      { idleTimeoutMs: 300 },
      async ({ handle }) => await insert(handle as pg.Client, a),
    )
    await expect(running).rejects.toMatchObject({ code: 'WB_COMMIT_OUTCOME_UNKNOWN' })
    await dropped
    expect(await stored()).toContain(a)
  })
})
