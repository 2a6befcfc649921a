import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, describe, expect, it } from 'vitest'
import { runWaybill } from './waybill-command.ts'

const folder = mkdtempSync(join(tmpdir(), 'waybill-explain-'))
afterAll(() => {
  rmSync(folder, { recursive: true, force: true })
})

const source = fileURLToPath(new URL('../../src', import.meta.url))

function config(name: string, channels: string, isStored = true): string {
  const path = join(folder, name)
  writeFileSync(
    path,
    `import { defineChannel, defineConfig } from '${source}/index.ts'
     import { localTransport } from '${source}/local.ts'
     import { kafkaTransport } from '${source}/kafka.ts'
     import { postgresStore } from '${source}/postgres.ts'
     export default defineConfig({
       // Nobody listens there: explain must not look.
       ${isStored ? "store: postgresStore({ connectionString: 'postgres://localhost:1/none' })," : 'relay: Boolean(postgresStore),'}
       transports: { events: kafkaTransport({ brokers: ['localhost:1'] }), local: localTransport() },
       channels: [${channels}],
     })`,
  )
  return path
}

const good = config(
  'good.config.ts',
  `defineChannel({ name: 'orders', guarantee: 'exactly-once', ordered: true }).via('events'),
   defineChannel({ name: 'mail', maxPending: 5000 }).via('local'),
   defineChannel({ name: 'payments', guarantee: 'exactly-once', consumers: { billing: 'inbox', ledger: 'checkpoint' } }).via('events')`,
)
const bad = config(
  'bad.config.ts',
  `defineChannel({ name: 'orders' }).via('events'), defineChannel({ name: 'cache', outbox: false }).via('local')`,
)

describe('waybill explain', () => {
  it('shows every channel in a line, without connecting to anything', async () => {
    const { code, stdout, stderr } = await runWaybill(['explain', '--config', good])
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    expect(stdout).toMatch(/\norders +exactly-once +publish → relay: fence → events → any consumer:/u)
    expect(stdout).toMatch(/\nmail +at-least-once +publish → relay: handlers → any consumer:/u)
    expect(stdout).toMatch(/\npayments +exactly-once .*\n.*ledger: checkpoint/u)
    expect(stdout.split('\n').filter((line) => line.length > 80)).toEqual([])
  })

  it('shows the limit of a backlog', async () => {
    const { stdout } = await runWaybill(['explain', 'mail', '--config', good])
    expect(stdout.replaceAll(/[│\s]+/gu, ' ')).toContain('Refused while 5000 of its messages or more wait')
  })

  it('shows one channel hop by hop', async () => {
    const { code, stdout } = await runWaybill(['explain', 'orders', '--config', good])
    expect(code).toBe(0)
    for (const text of ['│', 'What may still happen', 'For how long it holds', 'if and only if']) {
      expect(stdout).toContain(text)
    }
  })

  it('gives programs one object with plans and refusals', async () => {
    const { code, stdout, stderr } = await runWaybill(['explain', '--config', good, '--json'])
    expect(code).toBe(0)
    expect(stderr).toContain('payments')
    const { channels } = JSON.parse(stdout)
    expect(channels).toMatchObject([
      { kind: 'plan', channel: 'orders', relay: 'fence', consumers: { 'any consumer': 'inbox' } },
      { kind: 'plan', channel: 'mail', relay: 'handlers' },
      { kind: 'plan', channel: 'payments', consumers: { billing: 'inbox', ledger: 'checkpoint' } },
    ])
  })

  it('ends with 1 where a channel cannot hold what it promises, and tells the nearest that can', async () => {
    const { code, stdout } = await runWaybill(['explain', '--config', bad])
    expect(code).toBe(1)
    expect(stdout).toMatch(/cache {2}at-least-once {2}REFUSED[^]*nearest +`outbox` left out/u)
    const asked = await runWaybill(['explain', 'cache', '--config', bad, '--json'])
    expect(asked.code).toBe(1)
    expect(JSON.parse(asked.stdout).channels).toMatchObject([
      { kind: 'refusal', reason: 'local-without-outbox', nearest: { channel: { isStored: true } } },
    ])
    expect((await runWaybill(['explain', 'orders', '--config', bad])).code).toBe(0)
  })

  it('expects no consumer where there is no store: such a service only sends', async () => {
    const sends = config(
      'sends.config.ts',
      `defineChannel({ name: 'views', outbox: false }).via('events')`,
      false,
    )
    const { code, stdout } = await runWaybill(['explain', '--config', sends, '--json'])
    expect(code).toBe(0)
    expect(JSON.parse(stdout).channels).toMatchObject([
      { kind: 'plan', relay: 'none', send: 'confirm', consumers: {} },
    ])
  })

  it('judges by the settings of flags and variables', async () => {
    const short = await runWaybill(['explain', 'orders', '--config', good, '--inbox-retention-ms', '6d'])
    expect(short.code).toBe(1)
    expect(short.stdout).toContain('inbox-shorter-than-redelivery')
    const env = { WAYBILL_INBOX_RETENTION_MS: '6d' }
    expect((await runWaybill(['explain', 'orders', '--config', good], { env })).code).toBe(1)
  })

  it('refuses a channel that is not there, and says which is meant', async () => {
    const { code, stderr } = await runWaybill(['explain', 'ordrs', '--config', good])
    expect(code).toBe(2)
    expect(stderr).toContain('Did you mean "orders"?')
  })
})
