import { readdirSync } from 'node:fs'
import { Client } from 'pg'
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { isPortFree } from '../../src/testing/ports.ts'
import { startPostgres, type PostgresServer } from '../../src/testing/postgres-server.ts'
import { isGone, processTree } from '../../src/testing/process-tree.ts'
import { until } from '../../src/testing/until.ts'
import { isStopped, serverFolder } from './scene.ts'

async function connected(url: string): Promise<Client> {
  const client = new Client({ connectionString: url })
  // A killed server breaks its connections; the tests look at their own calls.
  client.on('error', () => {})
  await client.connect()
  onTestFinished(() => client.end().catch(() => {}))
  return client
}

async function setting(client: Client, name: string): Promise<unknown> {
  const { rows } = await client.query<Record<string, unknown>>(`show ${name}`)
  return rows[0]![name]
}

describe('a PostgreSQL of one own', () => {
  let server: PostgresServer

  beforeAll(async () => {
    server = await startPostgres({ settings: { work_mem: '7MB' } })
  })

  afterAll(async () => {
    await server.stop()
  })

  test('accepts connections when it is started, with logical replication, prepared transactions and fsync', async () => {
    const client = await connected(server.url)
    expect(new URL(server.url)).toMatchObject({
      username: 'postgres',
      hostname: '127.0.0.1',
      port: `${server.port}`,
    })
    expect(await setting(client, 'wal_level')).toBe('logical')
    expect(await setting(client, 'max_prepared_transactions')).toBe('64')
    expect(await setting(client, 'max_connections')).toBe('200')
    expect(await setting(client, 'fsync')).toBe('on')
    expect(await setting(client, 'work_mem')).toBe('7MB')
  })

  test('makes databases of any name', async () => {
    const url = await server.createDatabase('we"ird näme')
    const client = await connected(url)
    const { rows } = await client.query<{ name: string }>('select current_database() as name')
    expect(rows).toEqual([{ name: 'we"ird näme' }])
    await expect(server.createDatabase('we"ird näme')).rejects.toMatchObject({ code: '42P04' })
  })

  test('SIGKILL ends every one of its processes, and after a restart what was committed is there', async () => {
    const client = await connected(server.url)
    await client.query('create table kept as select 1 as x')
    await client.query('begin')
    await client.query('insert into kept values (2)')
    await client.query("prepare transaction 'kept too'")
    await client.query('begin')
    await client.query('insert into kept values (3)')
    const pid = server.pid()
    const tree = processTree(pid)
    expect(tree.length).toBeGreaterThan(3)
    await server.kill()
    expect(tree.every(isGone)).toBe(true)
    expect(await isPortFree(server.port)).toBe(true)
    await expect(connected(server.url)).rejects.toMatchObject({ code: 'ECONNREFUSED' })
    await server.kill()
    await server.restart()
    expect(server.pid()).not.toBe(pid)
    const again = await connected(server.url)
    expect((await again.query('select x from kept')).rows).toEqual([{ x: 1 }])
    await again.query("commit prepared 'kept too'")
    expect((await again.query('select x from kept order by x')).rows).toEqual([{ x: 1 }, { x: 2 }])
  })

  test('a restart of a running server is a SIGKILL and a start', async () => {
    const before = await connected(server.url)
    const tree = processTree(server.pid())
    await server.restart()
    expect(tree.every(isGone)).toBe(true)
    await expect(before.query('select 1')).rejects.toThrow()
    expect((await (await connected(server.url)).query('select 1 as x')).rows).toEqual([{ x: 1 }])
  })

  test('a paused server stands still, backends too, until it is resumed', async () => {
    const client = await connected(server.url)
    const { rows } = await client.query<{ pid: number }>('select pg_backend_pid() as pid')
    await server.pause()
    const tree = processTree(server.pid())
    expect(tree).toContain(rows[0]!.pid)
    expect(tree.every(isStopped)).toBe(true)
    const answer = client.query('select 1 as x')
    server.resume()
    expect((await answer).rows).toEqual([{ x: 1 }])
  })

  test('a paused server can be killed and restarted', async () => {
    await server.pause()
    await server.restart()
    expect((await (await connected(server.url)).query('select 1 as x')).rows).toEqual([{ x: 1 }])
  })
})

test('stop removes the server with its data, twice is once, and a stopped one says so', async () => {
  const folder = serverFolder()
  const server = await startPostgres({ durable: false })
  const client = await connected(server.url)
  expect(await setting(client, 'fsync')).toBe('off')
  expect(readdirSync(folder)).toHaveLength(1)
  const tree = processTree(server.pid())
  await server.pause()
  await server.stop()
  await server.stop()
  expect(readdirSync(folder)).toEqual([])
  await until('the end of all its processes', () => tree.every(isGone))
  expect(() => server.pid()).toThrow('was stopped')
  await expect(server.restart()).rejects.toMatchObject({ code: 'WB_NOT_RUNNING' })
})

test('a server that does not start says why, with the end of its log, and leaves nothing', async () => {
  const folder = serverFolder()
  const start = startPostgres({ settings: { wal_level: 'nonsense' } })
  await expect(start).rejects.toMatchObject({
    code: 'WB_STORE_FAILED',
    message: expect.stringContaining('invalid value for parameter "wal_level"') as string,
  })
  expect(readdirSync(folder)).toEqual([])
})

test('a start that is aborted leaves nothing', async () => {
  const folder = serverFolder()
  await expect(startPostgres({ signal: AbortSignal.abort() })).rejects.toMatchObject({ code: 'WB_ABORTED' })
  expect(readdirSync(folder)).toEqual([])
})
