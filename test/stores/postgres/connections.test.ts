import { describe, expect, onTestFinished, test } from 'vitest'
import { CommitOutcomeUnknownError } from '../../../src/kernel/errors.ts'
import type { Store, StoreContext } from '../../../src/ports/store.ts'
import { spawnChild } from '../../../src/testing/child.ts'
import { startPostgres } from '../../../src/testing/postgres-server.ts'
import { type Proxy, startProxy } from '../../../src/testing/proxy.ts'
import { until } from '../../../src/testing/until.ts'
import { postgresDatabase } from '../../setup/servers.ts'
import {
  connect,
  message,
  openStore,
  openStreet,
  publish,
  type Street,
  untilPurposeWaits,
} from './support.ts'

// Short, and yet long enough for eight connections that are made at once on a busy machine.
const short: Partial<StoreContext> = { statementTimeoutMs: 1000, lockTimeoutMs: 200 }

interface Scene {
  readonly far: Store
  readonly farUrl: string
  readonly proxy: Proxy
  readonly street: Street
  readonly url: string
}

const silentClient = new URL('silent-client.ts', import.meta.url).pathname

/** A store that reaches its database through a proxy. */
async function scene(): Promise<Scene> {
  const { url } = await postgresDatabase()
  const near = openStore({ connectionString: url })
  await near.schema.migrate()
  const street = await openStreet(url, near)
  const proxy = await startProxy({ port: Number(new URL(url).port) })
  onTestFinished(() => proxy.stop())
  const place = new URL(url)
  place.port = String(proxy.port)
  return { far: openStore({ connectionString: place.href }, short), proxy, street, url, farUrl: place.href }
}

/** Every kind of call a store makes on connections of its own, each as a relay or consumer would. */
async function calls(store: Store, street: Street): Promise<Record<string, () => Promise<unknown>>> {
  const outbox = await store.openOutbox(street.lane)
  const partitions = street.partitions.map((partition) => ({ partition, floor: 0n, mark: null }))
  const limits = {
    upperLimit: 9,
    lateLimit: 9,
    lookLimit: 1000,
    retryLimit: 9,
    partitionBytes: 9e6,
    channels: [street.channel],
  }
  const ref = { partition: street.first, seq: 1n, id: message('k').id }
  const failure = { epoch: 0n, attempts: 1, errorCode: 'E', error: 'e' }
  return {
    read: () => outbox.read({ partitions, last: null, ...limits }),
    remove: () => outbox.remove([ref]),
    block: () => outbox.block([{ ...ref, ...failure, channel: street.channel, key: 'k', retryInMs: 0 }]),
    bury: () => outbox.bury([{ ...ref, ...failure, channel: street.channel, reason: 'rejected' }]),
    census: () => store.census.look({ mostRows: 10, oldTransactionMs: 0 }),
    countStart: () => store.inbox.countStart('c', ref.id),
    check: () => store.schema.check(),
    run: () =>
      store.transactions.run(
        { idleTimeoutMs: 300 },
        async ({ handle }) => await (handle as Runner).query('select 1'),
      ),
    join: async () => await (await store.openLeases(street.lane)).close(),
  }
}

interface Runner {
  query(text: string): Promise<unknown>
}

async function outcomes(all: Record<string, () => Promise<unknown>>): Promise<Record<string, string>> {
  const entries = Object.entries(all).map(async ([name, call]): Promise<[string, string]> => [
    name,
    await call().then(
      () => 'ok',
      (error: { code?: string }) => error.code ?? String(error),
    ),
  ])
  return Object.fromEntries(await Promise.all(entries))
}

function allOf(names: object, outcome: string): Record<string, string> {
  return Object.fromEntries(Object.keys(names).map((name) => [name, outcome]))
}

describe('a connection that answers nothing any more', () => {
  test.for(['halfOpen', 'blackHole'] as const)(
    'ends each call within its time-out, and the next call after the network has healed is answered (%s, P12, F24)',
    async (fault) => {
      const { far, proxy, street } = await scene()
      const all = await calls(far, street)
      expect(await outcomes(all)).toEqual(allOf(all, 'ok'))
      proxy[fault]()
      // Twice: on connections that were open, and on those that are made anew into the silence.
      for (let i = 0; i < 2; i++) {
        for (const outcome of Object.values(await outcomes(all))) {
          expect(outcome).toMatch(/^WB_(?:TIMED_OUT|STORE_UNREACHABLE)$/u)
        }
      }
      await proxy.heal()
      expect(await outcomes(all)).toEqual(allOf(all, 'ok'))
    },
  )

  test('is not kept: a process that met only silence has nothing open when it closes its store, and ends', async () => {
    const { proxy, farUrl } = await scene()
    proxy.halfOpen()
    const child = spawnChild({ script: silentClient, args: [farUrl] })
    expect(await child.exited).toEqual({ code: 0, signal: null })
    expect(child.lines).toEqual(['WB_TIMED_OUT', 'WB_TIMED_OUT', 'WB_TIMED_OUT'])
  })

  test('is given up also where it falls silent between being made and being set up', async () => {
    const { proxy, farUrl } = await scene()
    const dropped = proxy.dropReplies({
      request: (chunk) => chunk.includes('set datestyle'),
      instead: 'silence',
    })
    const child = spawnChild({ script: silentClient, args: [farUrl] })
    await dropped
    expect(await child.exited).toEqual({ code: 0, signal: null })
    expect(child.lines).toEqual(['WB_TIMED_OUT', 'ok', 'ok'])
  })

  test('makes a lease session throw from every method within its time-out', async () => {
    const { far, proxy, street } = await scene()
    const session = await far.openLeases(street.lane)
    const held = await session.claim(9)
    proxy.halfOpen()
    const all = {
      renew: () => session.renew(held, false),
      survey: () => session.survey(),
      claim: () => session.claim(1),
    }
    for (const outcome of Object.values(await outcomes(all))) expect(outcome).toMatch(/^WB_/u)
    expect(await outcomes(all)).toEqual(allOf(all, 'WB_STORE_UNREACHABLE'))
    await session.close()
  })

  test.for(['halfOpen', 'blackHole'] as const)('does not hold up a store that closes (%s)', async (fault) => {
    const { far, proxy, street } = await scene()
    const all = await calls(far, street)
    await outcomes(all)
    proxy[fault]()
    await far.close()
    await expect(all['read']!()).rejects.toMatchObject({ code: 'WB_STORE_UNREACHABLE' })
  })
})

describe('a connection that is reset', () => {
  test('fails the call that was under way, and the next is answered on a new one', async () => {
    const { far, proxy, street, url } = await scene()
    const { read } = await calls(far, street)
    await publish(far, await connect(url), street.channel, message('k'))
    await read!()
    proxy.reset()
    await until('the end of that connection', () => proxy.connections === 0)
    const first = await outcomes({ read: read! })
    const second = await outcomes({ read: read! })
    expect([first['read'], second['read']]).toContain('ok')
    expect(second).toEqual({ read: 'ok' })
  })
})

test('what waits for a row goes on with what that is then, whatever isolation the database has by default', async () => {
  const { url } = await postgresDatabase()
  const observer = await connect(url)
  const { rows } = await observer.query('select current_database() as name')
  await observer.query(
    `alter database "${rows[0].name}" set default_transaction_isolation to 'repeatable read'`,
  )
  const store = openStore({ connectionString: url })
  await store.schema.migrate()
  const street = await openStreet(url, store)
  const { id } = message('k')
  const other = await connect(url)
  await other.query('begin')
  await other.query(`insert into waybill.attempts (consumer, message_id, starts) values ('c', $1, 1)`, [id])
  const counting = store.inbox.countStart('c', id)
  await untilPurposeWaits(observer, 'inbox')
  await other.query('commit')
  expect(await counting).toBe(2)

  await publish(store, observer, street.channel, message('k'))
  await observer.query(
    `insert into waybill.blocked (partition, seq, id, channel, key, state, attempts, retry_at, error_code, error, first_error_code, first_error)
     select partition, seq, id, channel, key, 'blocked', 9, 'infinity', 'E', 'e', 'E', 'e' from waybill.outbox`,
  )
  const [line] = await store.keys.list({}, { limit: 1 })
  await other.query('begin isolation level read committed')
  await other.query('update waybill.blocked set attempts = 10')
  const unblocking = store.keys.unblock([line!])
  await untilPurposeWaits(observer, 'operator')
  await other.query('commit')
  expect(await unblocking).toBe(1)
})

test('a transaction whose COMMIT was not answered is neither done nor failed, and its session is given up', async () => {
  const { far, proxy, url } = await scene()
  const registration = { channel: 'late', transport: 'late', address: 'late', ordered: false, maxBytes: 1 }
  const dropped = proxy.dropReplies({ request: (chunk) => chunk.includes('commit\0') })
  await expect(far.schema.register([registration], [], 1)).rejects.toBeInstanceOf(CommitOutcomeUnknownError)
  await dropped
  const { rows } = await (await connect(url)).query(`select 1 from waybill.channels where channel = 'late'`)
  expect(rows).toHaveLength(1)
  await far.schema.check()
})

test('a server that is killed and started again is used again by every part of the store (F18)', async () => {
  await using server = await startPostgres()
  const store = openStore({ connectionString: server.url }, { statementTimeoutMs: 2000 })
  await store.schema.migrate()
  const street = await openStreet(server.url, store)
  const client = await connect(server.url)
  const ids = await publish(store, client, street.channel, message('a'), message('b'))
  const all = await calls(store, street)
  expect(await outcomes(all)).toEqual(allOf(all, 'ok'))
  await server.kill()
  for (const outcome of Object.values(await outcomes(all))) expect(outcome).toMatch(/^WB_STORE_UNREACHABLE$/u)
  await server.restart()
  await until('every part at work', async () => {
    const found = await outcomes(all)
    return Object.values(found).every((outcome) => outcome === 'ok')
  })
  const { rows } = (await all['read']!()) as { rows: { id: string }[] }
  expect(rows.map(({ id }) => id).toSorted()).toEqual(ids.toSorted())
  await store.close()
})

test('a database that refuses the connection says what to check, and not with which password', async () => {
  const { url } = await postgresDatabase()
  const place = new URL(url)
  place.pathname = '/no_such_database'
  place.password = 'secret-of-mine'
  const error = await openStore({ connectionString: place.href })
    .schema.check()
    .catch((e: unknown) => e)
  expect(error).toMatchObject({
    code: 'WB_STORE_UNREACHABLE',
    message: expect.stringContaining('Check user'),
  })
  expect(String(error)).not.toContain('secret-of-mine')
})
