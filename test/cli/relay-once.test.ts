import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Client } from 'pg'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { postgresDatabase } from '../setup/servers.ts'
import { type CommandResult, runWaybill, startWaybill } from './waybill-command.ts'

const folder = mkdtempSync(join(tmpdir(), 'waybill-once-'))
const source = fileURLToPath(new URL('../../src', import.meta.url))
const broker = fileURLToPath(new URL('../relay/counting-broker.ts', import.meta.url))
const config = join(folder, 'waybill.config.ts')

let client: Client

beforeAll(async () => {
  const { url } = await postgresDatabase()
  writeFileSync(
    config,
    `import { once } from 'node:events'
     import { setTimeout } from 'node:timers/promises'
     import { defineChannel, defineConfig } from '${source}/index.ts'
     import { postgresStore } from '${source}/postgres.ts'
     import { countingBroker } from '${broker}'
     const { capabilities: plain, kind } = countingBroker('none')
     const capabilities = { ...plain, dispatches: true }
     const close = async () => {}
     const fates = {
       good: { outcome: 'confirmed' },
       slow: { outcome: 'confirmed' },
       poor: { outcome: 'rejected', scope: 'message', retryable: true, code: 'POOR', reason: 'not this one' },
       gone: { outcome: 'rejected', scope: 'destination', retryable: true, code: 'GONE', reason: 'nobody there' },
     }
     const publish = async (batch) => {
       if (batch.some(({ address }) => address === 'slow')) {
         const told = once(process, 'SIGTERM')
         process.stderr.write('sending\\n')
         await told
       }
       return batch.map(({ address }) => fates[address])
     }
     // What a monitor is told: that the stop has begun, since nothing waits any more.
     let notReady = () => null
     const monitor = {
       listens: false,
       open: async (source) => {
         notReady = source.notReady
         return { close }
       },
     }
     const dispatch = async (batch) => {
       while (notReady() === null) await setTimeout(5)
       return batch.map(() => ({ outcome: 'dropped', code: 'GONE', reason: 'nobody there' }))
     }
     const transport = {
       kind, capabilities, close,
       openPublisher: async () => ({ publish, close }),
       openDispatcher: async () => ({ dispatch, isReady: async () => true, close }),
     }
     const channel = (name, ordered) => defineChannel({ name, ordered, ...(ordered ? { key: () => 'k' } : {}) })
     export default defineConfig({
       store: postgresStore({ connectionString: '${url}' }),
       transports: { test: { kind, capabilities, open: () => transport } },
       channels: [
         channel('good', false), channel('slow', false), channel('poor', true), channel('gone', false),
         defineChannel({ name: 'viewed', guarantee: 'at-most-once' }),
       ],
       monitor, leaseMs: 1000, publishTimeoutMs: 200, retryInitialMs: 600_000, retryMaxMs: 600_000, logLevel: 'error',
     })`,
  )
  await runWaybill(['migrate', '--config', config])
  client = new Client({ connectionString: url })
  client.on('error', () => {})
  await client.connect()
})

afterAll(async () => {
  await client.end()
  rmSync(folder, { recursive: true, force: true })
})

async function publish(channel: string, key: string | null, notBefore: string | null = null): Promise<void> {
  await client.query(`select waybill.publish($1, '{}', $2, '{}', $3::timestamptz)`, [channel, key, notBefore])
}

function once(...more: string[]): Promise<CommandResult> {
  return runWaybill(['relay', '--once', '--config', config, ...more])
}

async function left(): Promise<number> {
  const { rows } = await client.query('select count(*)::int as n from waybill.outbox')
  return rows[0].n
}

const part = { transport: 'test', count: 1, isAtLeast: false, code: null }

describe('waybill relay --once', () => {
  it('ends with 0 where nothing is there', async () => {
    expect(await once()).toMatchObject({ code: 0, stdout: '0 messages delivered; nothing is left.\n' })
  })

  it('sends what is there and ends with 0', async () => {
    for (let i = 0; i < 300; i++) await publish('good', null)
    const { code, stdout } = await once('--json')
    expect(code).toBe(0)
    expect(JSON.parse(stdout)).toMatchObject({
      remains: [],
      isCut: false,
      relays: [{ transport: 'test', confirmed: 300 }],
    })
    expect(await left()).toBe(0)
  })

  it('ends with 1 and says what is left and why, and waits for none of it', async () => {
    await publish('good', null)
    await publish('good', null, 'tomorrow')
    await publish('poor', 'a')
    await publish('poor', 'a')
    await publish('poor', 'b')
    await client.query(
      `insert into waybill.blocked (partition, seq, id, channel, key, state, attempts, retry_at, error_code, error, first_error_code, first_error)
       select partition, seq, id, channel, key, 'blocked', 1, 'infinity', 'E', 'e', 'E', 'e' from waybill.outbox where key = 'b'`,
    )
    const { code, stdout } = await once('--json')
    expect(code).toBe(1)
    expect(JSON.parse(stdout).remains).toEqual([
      { ...part, channel: 'good', why: 'delayed' },
      { ...part, channel: 'poor', why: 'blocked' },
      // The one that failed, and the one behind it.
      { ...part, channel: 'poor', why: 'retrying', count: 2 },
    ])
    const second = await once()
    expect(second.stdout).toBe(
      `0 messages delivered; this is left:
  · test, good: 1 not due yet
  · test, poor: 1 of blocked keys, which wait for you: waybill keys list
  · test, poor: 2 tried again later, or behind one that is: waybill keys list
`,
    )
    await client.query('truncate waybill.outbox, waybill.blocked')
  })

  it('gives a destination that takes nothing up after a while, and names its error', async () => {
    await publish('gone', null)
    await publish('good', null)
    const { code, stdout } = await once('--json')
    expect(code).toBe(1)
    expect(JSON.parse(stdout)).toMatchObject({
      remains: [{ ...part, channel: 'gone', why: 'held', code: 'GONE' }],
      isCut: false,
    })
  })

  it('ends at its time limit', async () => {
    const { code, stdout } = await once('--time-limit', '1ms', '--lease-ms', '1h')
    expect(code).toBe(1)
    expect(stdout).toContain('stopped before the end, and this is left:')
    await client.query('truncate waybill.outbox')
  })

  it('ends with 1 where messages of its transport belong to channels that its configuration lacks', async () => {
    await client.query(`create temp table one as select * from waybill.channels where channel = 'good'`)
    await client.query(`alter table one drop column key_seed; update one set channel = 'foreign'`)
    const { fields } = await client.query('select * from one limit 0')
    const columns = fields.map(({ name }) => name).join()
    await client.query(`insert into waybill.channels (${columns}) select ${columns} from one`)
    await publish('good', null)
    await publish('foreign', null)
    await publish('foreign', null)
    const { code, stdout } = await once('--json')
    expect(code).toBe(1)
    expect(JSON.parse(stdout)).toMatchObject({
      remains: [{ ...part, channel: 'foreign', why: 'unconfigured', count: 2 }],
      isCut: false,
      relays: [{ confirmed: 1 }],
    })
    expect((await once()).stdout).toBe(
      `0 messages delivered; this is left:
  · test, foreign: 2 not sent: the channel is not in this configuration
`,
    )
    await client.query('truncate waybill.outbox')
  })

  it('refuses a time limit without its unit', async () => {
    const { code, stderr } = await once('--time-limit', '50')
    expect({ code, stderr }).toEqual({ code: 2, stderr: expect.stringContaining('a time such as 50s') })
  })

  it('refuses a time limit where it is not to end', async () => {
    const { code, stderr } = await runWaybill(['relay', '--config', config, '--time-limit', '5s'])
    expect(code).toBe(2)
    expect(stderr).toContain('--once')
  })

  it('does not count as delivered what was taken, and then could not be sent while it stopped', async () => {
    const patient = ['--lease-ms', '30s', '--publish-timeout-ms', '20s']
    await publish('viewed', null)
    const { code, stdout } = await once('--json', ...patient)
    expect(code).toBe(0)
    expect(JSON.parse(stdout)).toMatchObject({ remains: [], relays: [{ taken: 1, lost: 1 }] })
    await publish('viewed', null)
    expect((await once(...patient)).stdout).toBe('0 messages delivered; nothing is left.\n')
  })
})

describe('waybill relay', () => {
  it('counts what ended after it was told to stop', async () => {
    await publish('slow', null)
    const relay = startWaybill([
      'relay',
      '--config',
      config,
      '--json',
      '--lease-ms',
      '30s',
      '--publish-timeout-ms',
      '20s',
    ])
    await relay.sees('sending')
    relay.process.kill('SIGTERM')
    const { code, stdout } = await relay.ended
    expect(code).toBe(0)
    expect(JSON.parse(stdout)).toMatchObject({ relays: [{ transport: 'test', sent: 1, confirmed: 1 }] })
    expect(await left()).toBe(0)
  })
})
