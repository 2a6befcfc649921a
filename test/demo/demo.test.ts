import { Client } from 'pg'
import { describe, expect, it } from 'vitest'
import { runWaybill, type CommandResult } from '../cli/waybill-command.ts'
import { describeWithKafka, kafkaBrokers, postgresDatabase } from '../setup/servers.ts'

interface Report {
  readonly orders: number
  readonly rolledBack: number
  readonly shipments: number
  readonly lost: number
  readonly duplicated: number
  readonly ghosts: number
  readonly outOfOrder: number
  readonly kills: number
  readonly killed: Readonly<Record<string, number>>
  readonly verdict: string
  readonly reasons: readonly string[]
}

/** The line on stdout, which must be the only one. */
function reportOf({ stdout, stderr }: CommandResult): Report {
  expect(stdout, stderr).toMatch(/^\{.*\}\n$/u)
  return JSON.parse(stdout) as Report
}

describe('waybill demo', () => {
  it('ships every order exactly once while the shop and its consumers are killed, on a PostgreSQL it brings itself', async () => {
    const result = await runWaybill(['demo', '--seconds', '6', '--json'])
    const report = reportOf(result)
    expect(report).toMatchObject({
      lost: 0,
      duplicated: 0,
      ghosts: 0,
      outOfOrder: 0,
      verdict: 'valid',
      reasons: [],
    })
    expect(result.code).toBe(0)
    expect(report.orders).toBeGreaterThan(50)
    expect(report.rolledBack).toBeGreaterThan(0)
    expect(report.shipments).toBe(report.orders)
    expect(report.kills).toBeGreaterThanOrEqual(3)
    for (const name of ['shop', 'shipping-1', 'shipping-2']) expect(report.killed[name]).toBeGreaterThan(0)
    expect(Object.keys(report).slice(0, 11)).toEqual([
      'orders',
      'rolledBack',
      'shipments',
      'lost',
      'duplicated',
      'ghosts',
      'outOfOrder',
      'kills',
      'duplicatesSuppressed',
      'ordersPerSecond',
      'verdict',
    ])
    expect(result.stderr).toContain('VALID')
  })

  it('works in a database of the user, kills nobody where told so, and leaves no schema behind', async () => {
    const { url } = await postgresDatabase()
    const { code, stdout, stderr } = await runWaybill([
      'demo',
      '--seconds',
      '2',
      '--no-kill',
      '--database-url',
      url,
    ])
    expect(stdout).toMatch(/kills +0/u)
    expect(stdout).toContain('VALID')
    expect(stderr).toMatch(/running \d\/2 s \| orders \d+/u)
    expect(code).toBe(0)
    const client = new Client({ connectionString: url })
    await client.connect()
    const { rows } = await client.query("select nspname from pg_namespace where nspname like '%waybill%'")
    await client.end()
    expect(rows).toEqual([])
  })

  it('ships orders twice without the inbox, goes on until one was, and says so', async () => {
    const { url } = await postgresDatabase()
    // Of some two hundred orders a few come twice: in so short a time mostly none.
    const args = ['demo', '--seconds', '1', '--without', 'inbox', '--database-url', url, '--json']
    const result = await runWaybill(args)
    const report = reportOf(result)
    expect(report).toMatchObject({ lost: 0, ghosts: 0, verdict: 'invalid' })
    expect(report.duplicated).toBeGreaterThan(0)
    expect(report.reasons).toEqual([expect.stringContaining('shipments too many')])
    expect(result.code).toBe(1)
  })

  it('loses orders and ships ghosts without the outbox, and says so', async () => {
    const { url } = await postgresDatabase()
    const args = ['demo', '--seconds', '6', '--without', 'outbox', '--database-url', url, '--json']
    const result = await runWaybill(args)
    const report = reportOf(result)
    expect(report).toMatchObject({ duplicated: 0, verdict: 'invalid' })
    expect(report.lost).toBeGreaterThan(0)
    expect(report.ghosts).toBeGreaterThan(0)
    expect(result.code).toBe(1)
  })

  it('tells a database that does not answer from a demo that failed', async () => {
    const { code, stderr } = await runWaybill([
      'demo',
      '--database-url',
      'postgres://nobody:secret@127.0.0.1:1/none',
    ])
    expect(code).toBe(1)
    expect(stderr).toContain('WB_STORE_UNREACHABLE')
    expect(stderr).not.toContain('secret')
  })
})

describeWithKafka('waybill demo over Kafka', () => {
  it('ships every order exactly once while shop, relays and consumers are killed', async () => {
    const { url } = await postgresDatabase()
    const brokers = (await kafkaBrokers()).join(',')
    const args = [
      'demo',
      '--seconds',
      '6',
      '--transport',
      'kafka',
      '--brokers',
      brokers,
      '--database-url',
      url,
      '--json',
    ]
    const result = await runWaybill(args)
    const report = reportOf(result)
    expect(report).toMatchObject({
      lost: 0,
      duplicated: 0,
      ghosts: 0,
      outOfOrder: 0,
      verdict: 'valid',
      reasons: [],
    })
    expect(result.code).toBe(0)
    expect(report.kills).toBeGreaterThanOrEqual(5)
    for (const name of ['shop', 'relay-1', 'relay-2', 'shipping-1', 'shipping-2']) {
      expect(report.killed[name]).toBeGreaterThan(0)
    }
  })
})
