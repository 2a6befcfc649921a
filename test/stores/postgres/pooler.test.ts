import pg from 'pg'
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import type { CensusReport } from '../../../src/kernel/census.ts'
import { silentLogger, type Logger } from '../../../src/kernel/logger.ts'
import { type PgbouncerServer, startPgbouncer } from '../../../src/testing/pgbouncer-server.ts'
import { startProxy } from '../../../src/testing/proxy.ts'
import { until } from '../../../src/testing/until.ts'
import { describeWithPgbouncer, postgresDatabase } from '../../setup/servers.ts'
import { append, connect, message, openDesk, openStore, openStreet, publish } from './support.ts'

let url: string
let pooler: PgbouncerServer
let observer: pg.Client

const few = { default_pool_size: '3', min_pool_size: '3' }

/** Notes its warnings. */
function listener(): { logger: Logger; warnings: string[] } {
  const warnings: string[] = []
  return {
    logger: { ...silentLogger, warn: (_: object, text?: string) => void warnings.push(text ?? '') },
    warnings,
  }
}

/** What sessions that are shared must not hold after us, asked of each of them. */
async function residue(): Promise<unknown[]> {
  const clients = await Promise.all(
    [1, 2, 3].map(async () => {
      const client = new pg.Client(pooler.url)
      await client.connect()
      await client.query('begin')
      return client
    }),
  )
  const found: unknown[] = []
  for (const client of clients) {
    const { rows } = await client.query(
      `select current_setting('enable_seqscan') as seqscan, current_setting('statement_timeout') as timeout,
        current_setting('plan_cache_mode') as plans, (select count(*)::int from pg_listening_channels()) as channels,
        (select count(*)::int from pg_prepared_statements) as prepared,
        (select count(*)::int from pg_locks where locktype = 'advisory' and pid = pg_backend_pid()) as locks`,
    )
    found.push(...rows)
  }
  for (const client of clients) await client.end()
  return found
}

const clean = { seqscan: 'on', timeout: '0', plans: 'auto', channels: 0, prepared: 0, locks: 0 }

describeWithPgbouncer('a store behind a pooler in transaction mode', () => {
  beforeAll(async () => {
    ;({ url } = await postgresDatabase())
    await openStore({ connectionString: url }).schema.migrate()
    pooler = await startPgbouncer({ target: url, settings: few })
    observer = await connect(url)
  })

  afterAll(() => pooler.stop())

  beforeEach(async () => {
    await observer.query('truncate waybill.outbox, waybill.blocked, waybill.dead, waybill.relays')
  })

  test('changes the number of partitions, which waits for who is at it, and leaves nothing in the sessions', async () => {
    const store = openStore({ connectionString: pooler.url })
    const street = await openStreet(url, store, { partitions: 4 })
    const early = await connect(pooler.url)
    await early.query('begin')
    await append(store, early, street.channel, message('a'))
    const waits: string[] = []
    const { signal } = new AbortController()
    const options = { signal, onWait: (wait: { for: string }) => void waits.push(wait.for) }
    const changing = store.layouts.change(street.transport, 8, options)
    await until('that it waits', () => waits.includes('transactions'))
    await early.query('commit')
    await changing
    expect(await store.layouts.look([street.transport])).toMatchObject([{ partitions: 8, isChanging: false }])
    const session = await store.openLeases(street.lane)
    expect(await session.survey()).toMatchObject({ partitions: 4 })
    await observer.query('delete from waybill.outbox')
    await session.survey()
    expect(await session.survey()).toMatchObject({ partitions: 8 })
    await session.close()
    await early.end()
    expect(await residue()).toEqual([clean, clean, clean])
  })

  test('finds out, and says once what is different', async () => {
    const { logger, warnings } = listener()
    const store = openStore({ connectionString: pooler.url }, { logger })
    await Promise.all([
      store.schema.check(),
      store.schema.check(),
      store.inbox.countStart('c', message(null).id),
    ])
    await store.schema.check()
    expect(warnings).toEqual([expect.stringContaining('directConnectionString')])
    expect(store.bell.listen(['kafka'], () => {})).toBeNull()
  })

  test('takes nothing for one that keeps sessions: no pooler, one in session mode, a proxy', async () => {
    await using sessions = await startPgbouncer({ target: url, mode: 'session' })
    await using proxy = await startProxy({ port: Number(new URL(url).port) })
    const through = new URL(url)
    through.port = String(proxy.port)
    for (const connectionString of [url, sessions.url, through.href]) {
      const { logger, warnings } = listener()
      const store = openStore({ connectionString }, { logger })
      await store.schema.check()
      expect(warnings).toEqual([])
      expect(store.bell.listen(['kafka'], () => {})).not.toBeNull()
    }
  })

  test('brings its schema up to date and registers channels', async () => {
    const store = openStore({ connectionString: pooler.url, schema: 'pooled' })
    expect(await store.schema.migrate()).toEqual([1])
    await store.schema.register(
      [{ channel: 'c', transport: 't', address: 'c', ordered: true, maxBytes: 1000 }],
      [{ consumer: 'x', channels: ['c'] }],
      4,
    )
    await store.schema.unsubscribe('x')
    expect(await store.schema.identity()).toMatch(/^[0-9a-f-]{36}$/u)
  })

  test('writes in callers’ transactions, whichever session each of them gets', async () => {
    const { logger } = listener()
    const store = openStore({ connectionString: pooler.url }, { logger })
    const street = await openStreet(url, store)
    const clients = await Promise.all(Array.from({ length: 8 }, () => connect(pooler.url)))
    for (let round = 0; round < 10; round++) {
      await Promise.all(
        clients.map((client, i) =>
          publish(store, client, street.channel, message(`k${i}`), message(`k${i}`)),
        ),
      )
      await Promise.all(clients.map((client, i) => publish(store, client, street.channel, message(`k${i}`))))
    }
    const { rows } = await observer.query('select count(*)::int as n from waybill.outbox')
    expect(rows[0].n).toBe(240)
    expect(await residue()).toEqual([clean, clean, clean])
  })

  test('has no names before anybody has looked, so that the first publish is right too', async () => {
    const store = openStore({ connectionString: pooler.url })
    const street = await openStreet(url, openStore({ connectionString: url }))
    // One session of three is left for whoever looks.
    const clients = await Promise.all([1, 2].map(() => connect(pooler.url)))
    await Promise.all(clients.map((client) => client.query('begin')))
    await Promise.all(clients.map((client, i) => append(store, client, street.channel, message(`k${i}`))))
    await Promise.all(clients.map((client) => client.query('rollback')))
    expect(await residue()).toEqual([clean, clean, clean])
  })

  test('reads, deletes, and writes lines and dead letters, and leaves nothing in the sessions', async () => {
    const store = openStore({ connectionString: pooler.url })
    const street = await openStreet(url, store)
    const { outbox, leases, reader, epoch } = await openDesk(store, street)
    const client = await connect(pooler.url)
    const ids = await publish(
      store,
      client,
      street.channel,
      ...['a', 'b', 'c', 'd'].map((key) => message(key)),
    )
    const rows = await reader.read()
    expect(rows.map(({ id }) => id).toSorted()).toEqual(ids.toSorted())
    const failure = { attempts: 1, errorCode: 'NO', error: 'no' }
    const [first, second, ...others] = rows
    const at = epoch(first!.partition)
    expect(await outbox.block([{ ...first!, ...failure, epoch: at, retryInMs: 0 }])).toEqual(['written'])
    expect(
      await outbox.bury([{ ...second!, ...failure, epoch: epoch(second!.partition), reason: 'rejected' }]),
    ).toEqual(['written'])
    const gone = await Promise.all(others.map((row) => outbox.remove([row])))
    expect(gone).toEqual([{ removed: 1 }, { removed: 1 }])
    await until('the retry', async () => (await reader.read()).some(({ id }) => id === first!.id))
    expect(await leases.renew([{ partition: first!.partition, epoch: at }], false)).toHaveLength(1)
    expect(await store.inbox.purge(1000, 10)).toBe(0)
    expect(await store.sent.tidy(1000, 10)).toEqual({ days: 0, messages: 0 })
    await store.sent.prepare()
    expect(await residue()).toEqual([clean, clean, clean])
  })

  test('does what operators ask in one transaction of one session', async () => {
    const store = openStore({ connectionString: pooler.url })
    const street = await openStreet(url, store)
    const { outbox, reader, epoch } = await openDesk(store, street)
    const [id] = await publish(store, await connect(url), street.channel, message('k'))
    const [row] = await reader.read()
    const failure = { attempts: 1, errorCode: 'NO', error: 'no', epoch: epoch(row!.partition) }
    await outbox.bury([{ ...row!, ...failure, reason: 'rejected' }])
    const [letter] = await store.deadLetters.list({}, { limit: 10 })
    const holder = await connect(url)
    await holder.query('begin; lock table waybill.rewinds in access exclusive mode')
    const replaying = store.deadLetters.replay({ numbers: [letter!.number] })
    await until('a replay that waits, with its locks', async () => {
      const { rows } = await observer.query(
        `select 1 from pg_locks w join pg_locks l using (pid) where not w.granted and w.database is distinct from 0
           and l.locktype = 'advisory' and l.granted and l.database = (select oid from pg_database where datname = current_database())`,
      )
      return rows.length > 0
    })
    await holder.query('commit')
    expect(await replaying).toMatchObject({ returned: 1 })
    const { rows } = await observer.query('select id from waybill.outbox')
    expect(rows).toEqual([{ id }])
    expect(await residue()).toEqual([clean, clean, clean])
  })

  test('counts what waits, dies and works as a look past it does, and answers a ping', async () => {
    const store = openStore({ connectionString: pooler.url })
    const street = await openStreet(url, store)
    const { outbox, reader, epoch } = await openDesk(store, street)
    await publish(store, await connect(url), street.channel, message('a'), message('b'), message('b'))
    const [row] = (await reader.read()).filter(({ key }) => key === 'a')
    const failure = { attempts: 1, errorCode: 'NO', error: 'no', epoch: epoch(row!.partition) }
    await outbox.bury([{ ...row!, ...failure, reason: 'rejected' }])
    const old = await connect(pooler.url)
    await old.query('begin')
    await append(store, old, street.channel, message('c'))
    const request = { mostRows: 1000, oldTransactionMs: 0 }
    const pooled = await store.census.look(request)
    const direct = await openStore({ connectionString: url }).census.look(request)
    for (const { lanes, dead, relays } of [pooled, direct]) {
      expect(lanes).toContainEqual(
        expect.objectContaining({ channel: street.channel, pending: 2, isAtLeast: false }),
      )
      expect(dead).toContainEqual(expect.objectContaining({ channel: street.channel, count: 1 }))
      expect(relays).toContainEqual(
        expect.objectContaining({
          transport: street.transport,
          isAlive: true,
          isPooled: true,
          partitions: 4,
        }),
      )
    }
    // Beside other sessions' reads, which end by themselves.
    const writing = (report: CensusReport): unknown[] =>
      report.transactions.filter(({ hasWritten }) => hasWritten).map(({ pid }) => pid)
    expect(writing(pooled)).toHaveLength(1)
    expect(writing(pooled)).toEqual(writing(direct))
    await store.census.ping()
    await old.query('rollback')
    await old.end()
    expect(await residue()).toEqual([clean, clean, clean])
  })

  test('tells an error of a statement as without a pooler, and goes on', async () => {
    const store = openStore({ connectionString: pooler.url, schema: 'not_there' })
    await expect(store.inbox.countStart('c', message(null).id)).rejects.toMatchObject({
      code: 'WB_SCHEMA_MISSING',
    })
    await expect(store.inbox.countStart('c', message(null).id)).rejects.toMatchObject({
      code: 'WB_SCHEMA_MISSING',
    })
    expect(await residue()).toEqual([clean, clean, clean])
  })

  test('holds its leases by their time: a peer waits for their end, and never takes them before', async () => {
    const leaseMs = 1000
    const pooled = openStore({ connectionString: pooler.url }, { leaseMs })
    const street = await openStreet(url, pooled)
    const dead = await pooled.openLeases(street.lane)
    const held = await dead.claim(100)
    expect(held).toHaveLength(4)
    const peer = await openStore({ connectionString: url }, { leaseMs }).openLeases(street.lane)
    expect(await peer.survey()).toMatchObject({ relays: 2, partitions: 4 })
    expect(await dead.renew(held, false)).toHaveLength(4)
    expect(await peer.claim(100)).toEqual([])
    await until('the end of the leases', async () => (await peer.claim(100)).length > 0)
    expect(await dead.renew(held, false)).toEqual([])
    await peer.close()
    await dead.close()
  })

  test('has its own connections past it where it is told a way', async () => {
    const { logger, warnings } = listener()
    const store = openStore({ connectionString: pooler.url, directConnectionString: url }, { logger })
    const street = await openStreet(url, store)
    const clients = await Promise.all(Array.from({ length: 4 }, () => connect(pooler.url)))
    for (let round = 0; round < 5; round++)
      await Promise.all(clients.map((client) => publish(store, client, street.channel, message('k'))))
    const { reader } = await openDesk(store, street)
    expect(await reader.read()).toHaveLength(20)
    const { rows } = await observer.query(
      'select lock_key is not null as is_locked from waybill.relays where transport = $1',
      [street.transport],
    )
    expect(rows).toEqual([{ is_locked: true }])
    expect(store.bell.listen(['kafka'], () => {})).not.toBeNull()
    expect(warnings).toEqual([])
    expect(await residue()).toEqual([clean, clean, clean])
  })
})
