import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Client } from 'pg'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { freePort, startPostgres, until } from '../../src/testing.ts'
import { postgresDatabase } from '../setup/servers.ts'
import { runWaybill, startWaybill } from './waybill-command.ts'

const folder = mkdtempSync(join(tmpdir(), 'waybill-status-'))
afterAll(() => {
  rmSync(folder, { recursive: true, force: true })
})
const source = fileURLToPath(new URL('../../src', import.meta.url))
const config = join(folder, 'waybill.config.ts')
const { url } = await postgresDatabase()
const client = new Client({ connectionString: url })

function writeConfig(connectionString: string): void {
  writeFileSync(
    config,
    `import { defineChannel, defineConfig } from '${source}/index.ts'
     import { kafkaTransport } from '${source}/kafka.ts'
     import { postgresStore } from '${source}/postgres.ts'
     export default defineConfig({
       store: postgresStore({ connectionString: '${connectionString}' }),
       transports: { kafka: kafkaTransport({ brokers: ['127.0.0.1:1'] }) },
       channels: [defineChannel({ name: 'orders.placed' })],
     })`,
  )
}

beforeAll(async () => {
  writeConfig(url)
  expect(await runWaybill(['migrate', '--config', config])).toMatchObject({ code: 0 })
  await client.connect()
  await client.query(`select waybill.publish('orders.placed', '{"note": "canary"}')`)
})
afterAll(() => client.end())

describe('waybill status', () => {
  it('shows what waits, and that nobody holds the partitions, with what to do', async () => {
    const { code, stdout, stderr } = await runWaybill(['status', '--config', config])
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    expect(stdout).toMatch(/orders\.placed\s+1\s+0\s+0\s+0\s+0\s+\d/u)
    expect(stdout).toContain('None of the 16 partitions')
    expect(stdout).toContain('waybill relay')
    expect(stdout).not.toContain('canary')
    expect(stdout).not.toContain('\u001B')
  })

  it('prints one line of JSON, and with --check exits with 1 where there is a warning', async () => {
    const { code, stdout, stderr } = await runWaybill(['status', '--config', config, '--json', '--check'])
    expect({ code, stderr }).toEqual({ code: 1, stderr: '' })
    expect(stdout.trimEnd().split('\n')).toHaveLength(1)
    expect(JSON.parse(stdout)).toMatchObject({
      channels: [
        { channel: 'orders.placed', pending: 1, isAtLeast: false, inFlight: 0, perSecond: 0, dead: 0 },
      ],
      relays: [],
      warnings: [{ code: 'partitions-without-owner', subject: 'kafka' }],
    })
  })

  it('shows the relay that runs, what it holds, and exits with 0 where there is nothing to warn of', async () => {
    await client.query('delete from waybill.outbox')
    const port = await freePort()
    const relay = startWaybill(
      ['relay', '--config', config, '--lease-ms', '1s', '--log-level', 'silent', '--http-port', String(port)],
      { env: { NODE_NO_WARNINGS: '1' } },
    )
    try {
      await relay.sees('The relay is running')
      const look = async (): Promise<{ code: number | null; partitions: number | undefined }> => {
        const { code, stdout } = await runWaybill(['status', '--config', config, '--json', '--check'])
        const { relays } = JSON.parse(stdout) as { relays: { partitions: number }[] }
        return { code, partitions: relays[0]?.partitions }
      }
      // It has joined when it says that it runs; it may have claimed nothing yet.
      await until('it holds all partitions', async () => (await look()).partitions === 16)
      expect(await look()).toEqual({ code: 0, partitions: 16 })
      // Its database is well, its broker is not: a relay with nothing to do says so all the same.
      const response = await fetch(`http://127.0.0.1:${port}/healthz`)
      expect(response.status).toBe(503)
      const { components } = (await response.json()) as { components: { name: string; isHealthy: boolean }[] }
      const health = Object.fromEntries(components.map(({ name, isHealthy }) => [name, isHealthy]))
      expect(health).toEqual({ database: true, 'broker kafka': false, 'relay kafka': true })
    } finally {
      relay.process.kill('SIGTERM')
      await relay.ended
    }
  })

  it('watches until it is interrupted, a line of JSON for each look', async () => {
    const watching = startWaybill(['status', '--config', config, '--json', '--watch'])
    let seen = ''
    await new Promise<void>((resolve) => {
      watching.process.stdout!.on('data', (chunk: Buffer) => {
        seen += chunk.toString()
        if (seen.split('\n').length > 2) resolve()
      })
    })
    watching.process.kill('SIGINT')
    const { code, stdout } = await watching.ended
    expect(code).toBe(0)
    for (const line of stdout.trimEnd().split('\n')) expect(JSON.parse(line)).toHaveProperty('channels')
  })

  it.each([
    ['JSON', ['--json']],
    ['text', []],
  ])('watches on through a restart of the database, and says as %s that it cannot look', async (_, flags) => {
    await using server = await startPostgres({ durable: false })
    const own = await server.createDatabase('watched')
    writeConfig(own)
    expect(await runWaybill(['migrate', '--config', config])).toMatchObject({ code: 0 })
    const watching = startWaybill(['status', '--config', config, '--watch', '--check', ...flags])
    let seen = ''
    watching.process.stdout!.on('data', (chunk: Buffer) => {
      seen += chunk.toString()
    })
    const looks = (): number => seen.match(/"channels"|^channel /gmu)?.length ?? 0
    await until('a look', async () => looks() > 0)
    await server.shutDown()
    await watching.sees('error')
    await server.restart()
    expect(watching.process.exitCode).toBeNull()
    const before = looks()
    await until('a look after it', async () => looks() > before)
    watching.process.kill('SIGINT')
    const { code, stdout } = await watching.ended
    // Nobody holds the partitions: that is what --check warns of.
    expect(code).toBe(1)
    const errors = stdout.split('\n').filter((line) => line.startsWith('{"error"'))
    if (flags.length > 0)
      expect(JSON.parse(errors[0]!)).toMatchObject({ error: { code: expect.stringMatching(/^WB_STORE_/u) } })
    writeConfig(url)
  })

  it('ends without a word when nobody reads what it shows any more', async () => {
    const watching = startWaybill(['status', '--config', config, '--watch'])
    await new Promise((resolve) => {
      watching.process.stdout!.once('data', resolve)
    })
    watching.process.stdout!.destroy()
    expect(await watching.ended).toMatchObject({ code: 0, stderr: '' })
  })

  it('says what to do where the tables are missing, or the database is not there', async () => {
    writeConfig((await postgresDatabase()).url)
    expect(await runWaybill(['status', '--config', config])).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('waybill migrate'),
    })
    const gone = await startPostgres()
    const { url: goneUrl } = gone
    await gone.stop()
    writeConfig(goneUrl)
    const { code, stderr } = await runWaybill(['status', '--config', config, '--json'])
    expect({ code, stderr }).toMatchObject({ code: 1, stderr: expect.stringContaining('cannot be reached') })
  })
})
