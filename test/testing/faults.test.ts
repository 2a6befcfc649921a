import { Client, Pool } from 'pg'
import { describe, expect, it } from 'vitest'
import { spawnChild, startPostgres, until } from '../../src/testing.ts'
import { clockJumpFault, fakeClock, findFaketime } from '../../src/testing/faults/clock-jump.ts'
import { killFault } from '../../src/testing/faults/kill.ts'
import { pauseFault } from '../../src/testing/faults/pause.ts'
import { restartFault } from '../../src/testing/faults/restart.ts'
import { terminateBackendsFault } from '../../src/testing/faults/terminate-backends.ts'
import { postgresDatabase } from '../setup/servers.ts'
import { isStopped } from './scene.ts'

describe('faults of processes and servers', () => {
  it('kill a server and start it again on its data', async () => {
    await using server = await startPostgres()
    await query(server.url, 'create table kept (n int)')
    const active = await killFault('postgres', server).inject()
    await expect(query(server.url, 'select 1')).rejects.toThrow(/ECONNREFUSED/u)
    expect(active.hasStruck).toBe(true)
    await active.heal()
    expect(await query(server.url, 'select count(*)::int as n from kept')).toEqual([{ n: 0 }])
  })

  it('shut a server down in order, and start it again on its data', async () => {
    await using server = await startPostgres()
    await query(server.url, 'create table kept (n int)')
    const client = new Client({ connectionString: server.url })
    const told: unknown[] = []
    client.on('error', (error) => told.push(error))
    await client.connect()
    const active = await restartFault('postgres', server).inject()
    expect(server.isRunning()).toBe(false)
    expect(active.hasStruck).toBe(true)
    // It took the time to say so, before the connection ended: admin_shutdown.
    await until('its word', () => told.length > 0)
    expect(told[0]).toMatchObject({ code: '57P01' })
    await active.heal()
    expect(await query(server.url, 'select count(*)::int as n from kept')).toEqual([{ n: 0 }])
  })

  it('pause a process, which goes on where it was', async () => {
    const script = 'let n = 0; setInterval(() => console.log(`beat ${n++}`), 5)'
    await using child = spawnChild({ command: process.execPath, args: ['-e', script] })
    await child.waitForLine((line) => line.startsWith('beat'))
    const active = await pauseFault('beater', child).inject()
    await until('its stop', () => isStopped(child.pid))
    const before = child.lines.length
    await active.heal()
    await until('the next beat', () => child.lines.length > before)
    expect(child.lines).toEqual(child.lines.map((_, n) => `beat ${n}`))
  })

  it('terminate sessions of a database, one after the other, but not those of others', async () => {
    const [own, others] = [await postgresDatabase(), await postgresDatabase()]
    const pool = new Pool({ connectionString: own.url, max: 4 })
    const other = new Client({ connectionString: others.url })
    let ended = 0
    pool.on('error', () => (ended += 1))
    other.on('error', () => (ended += 100))
    await other.connect()
    await Promise.all(Array.from({ length: 4 }, () => pool.query('select 1')))
    const fault = terminateBackendsFault(own.url, { everyMs: 1 })
    const active = await fault.inject()
    await until('the end of all sessions', () => ended >= 4)
    expect(active.hasStruck).toBe(true)
    await active.heal()
    expect((await other.query('select 1 as n')).rows).toEqual([{ n: 1 }])
    expect((await pool.query('select 1 as n')).rows).toEqual([{ n: 1 }])
    expect(ended).toBe(4)
    await Promise.all([pool.end(), other.end()])
  })

  it('terminate the sessions of one application alone, where others share its database', async () => {
    const { url } = await postgresDatabase()
    const ours = new Client({ connectionString: url, application_name: 'ours: writer' })
    const theirs = new Client({ connectionString: url, application_name: 'theirs' })
    ours.on('error', () => {})
    let hits = 0
    theirs.on('error', () => (hits += 1))
    await Promise.all([ours.connect(), theirs.connect()])
    const active = await terminateBackendsFault(url, { everyMs: 1, application: 'ours' }).inject()
    await until('the end of our session', () => active.hasStruck)
    // It has looked again since, and found nobody.
    await theirs.query('select pg_sleep(0.05)')
    await active.heal()
    expect((await theirs.query('select 1 as n')).rows).toEqual([{ n: 1 }])
    expect(hits).toBe(0)
    await theirs.end()
  })

  it('end no process where somebody ends the session that ends others', async () => {
    const { url } = await postgresDatabase()
    const active = await terminateBackendsFault(url, { everyMs: 60_000, application: 'nobody' }).inject()
    const others = `from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid() and backend_type = 'client backend'`
    // Ended while it is answered, its end would be a failed look, which healing tells.
    await until('the end of its first look', async () => {
      return (
        (await query(url, `select pid ${others} and state = 'idle' and query like '%starts_with%'`))
          .length === 1
      )
    })
    await query(url, `select pg_terminate_backend(pid) ${others}`)
    await until('its end', async () => (await query(url, `select pid ${others}`)).length === 0)
    await active.heal()
    expect(active.hasStruck).toBe(false)
  })
})

const { library, hint } = findFaketime()
const describeWithFaketime = library === null ? describe.skip : describe

describeWithFaketime(
  `the clock of one process${library === null ? ` (no faketime here: ${hint})` : ''}`,
  () => {
    it('jumps and jumps back, and its monotonic clock does not', async () => {
      using clock = fakeClock(library!)
      const script =
        'const m = performance.now(); process.on("message", () => process.send({ wall: Date.now(), ran: performance.now() - m })); process.send({ wall: 0 })'
      await using child = spawnChild({
        command: process.execPath,
        args: ['-e', script],
        ipc: true,
        env: clock.env,
      })
      await child.waitForMessage(() => true)
      let asked = 0
      const ask = async (): Promise<{ wall: number; ran: number }> => {
        asked += 1
        let seen = 0
        child.send('?')
        return await child.waitForMessage<{ wall: number; ran: number }>(
          ({ wall }) => wall > 0 && ++seen === asked,
        )
      }
      const isNear = (wall: number, offset: number): boolean => Math.abs(wall - Date.now() - offset) < 60_000
      expect(isNear((await ask()).wall, 0)).toBe(true)
      for (const seconds of [3600, -3600]) {
        const fault = clockJumpFault('relay', clock, seconds, () => child.pid)
        expect(fault.name).toBe(`clock ${seconds > 0 ? '+' : '-'}3600s relay`)
        const active = await fault.inject()
        expect(active.hasStruck).toBe(true)
        const { wall, ran } = await ask()
        expect(isNear(wall, seconds * 1000)).toBe(true)
        expect(ran).toBeLessThan(60_000)
        await active.heal()
        expect(isNear((await ask()).wall, 0)).toBe(true)
      }
    })

    it('has struck nobody where the process was started without it, or has ended', async () => {
      using clock = fakeClock(library!)
      using other = fakeClock(library!)
      await using child = spawnChild({
        command: process.execPath,
        args: ['-e', 'setInterval(() => console.log("beat"), 5)'],
        env: other.env,
      })
      await child.waitForLine((line) => line === 'beat')
      for (const [one, pid] of [
        [clock, child.pid],
        [other, process.pid],
        [other, null],
      ] as const) {
        const active = await clockJumpFault('relay', one, 3600, () => pid).inject()
        expect(active.hasStruck).toBe(false)
        await active.heal()
      }
      await child.kill()
      expect((await clockJumpFault('relay', other, 3600, () => child.pid).inject()).hasStruck).toBe(false)
    })
  },
)

async function query(url: string, text: string): Promise<unknown[]> {
  const client = new Client({ connectionString: url })
  client.on('error', () => {})
  await client.connect()
  try {
    return (await client.query(text)).rows
  } finally {
    await client.end()
  }
}
