import { Admin } from '@platformatic/kafka'
import { Client } from 'pg'
import { describe, expect, it } from 'vitest'
import { describeInFullWithKafka, isFull } from '../setup/full.ts'
import { kafkaBrokers, postgresDatabase } from '../setup/servers.ts'
import { runWaybill, startWaybill } from './waybill-command.ts'

interface Report {
  readonly verdict: string
  readonly seed: number
  readonly rows: readonly Row[]
}

interface Row {
  readonly guarantee: string
  readonly way: string | null
  readonly fault: string
  readonly verdict: string
}

function ran({ rows }: Report): readonly Row[] {
  return rows.filter(({ verdict }) => verdict !== 'not-run')
}

describe('waybill prove', () => {
  it.each([
    ['--guarantee', 'exactly-onse', 'is no guarantee. Did you mean "exactly-once"?'],
    ['--faults', 'kil', 'is no class of faults. Did you mean "kill"?'],
    ['--seconds', '3', 'from 15 to 86400'],
    ['--seed', 'x', 'a whole number'],
    ['--transport', 'kafak', 'There is no adapter for the transport "kafak"; there is: local, kafka.'],
    ['--store', 'mysql', 'There is no adapter for the store "mysql"; there is: postgres.'],
    ['--brokers', 'localhost', 'host:port'],
    ['--database-url', 'secret', 'a URL such as postgres://'],
  ])('refuses %s %s as a usage error, and says what it takes', async (flag, value, message) => {
    const { code, stdout, stderr } = await runWaybill(['prove', flag, value])
    expect([code, stdout]).toEqual([2, ''])
    expect(stderr).toContain(message)
    expect(stderr).not.toContain('secret')
  })

  it('tells a database that does not answer from a guarantee that did not hold', async () => {
    const url = 'postgres://nobody:secret@127.0.0.1:1/none'
    const { code, stdout, stderr } = await runWaybill(['prove', '--database-url', url, '--json'])
    expect(code).toBe(1)
    expect(JSON.parse(stdout)).toMatchObject({ error: { code: 'WB_STORE_UNREACHABLE' } })
    expect(stderr).not.toContain('secret')
  })

  it('leaves nothing behind in a database of yours where Ctrl-C ends it', async () => {
    const { url } = await postgresDatabase()
    const command = startWaybill(['prove', '--database-url', url, '--seconds', '20', '--json'])
    await command.sees('no fault yet')
    const before = await schemasOf(url)
    command.process.kill('SIGINT')
    const { code, stdout } = await command.ended
    expect(code).toBe(130)
    expect(JSON.parse(stdout)).toMatchObject({ error: { code: 'WB_ABORTED' } })
    expect(before).toHaveLength(2)
    expect(await schemasOf(url)).toEqual([])
  })

  // In the full run: they take their time.
  it.each(isFull ? ['kill,sessions'] : [])(
    'shows that exactly-once holds under the faults %s',
    { timeout: 120_000 },
    async (faults) => {
      const args = ['prove', '--guarantee', 'exactly-once', '--faults', faults, '--seconds', '40']
      const { code, stdout, stderr } = await runWaybill([...args, '--seed', '7', '--json'])
      const report = JSON.parse(stdout) as Report
      expect(report, stderr).toMatchObject({ verdict: 'valid', seed: 7 })
      expect(code).toBe(0)
      expect(report.rows.map(({ fault }) => fault).toSorted()).toEqual([
        'kill consumer-1',
        'kill consumer-2',
        'kill writer',
        'none',
        'terminate backends',
      ])
      expect(stderr).toContain('VALID')
    },
  )
})

describeInFullWithKafka('waybill prove over Kafka', () => {
  it.each(['100'])(
    'shows in %s seconds what Kafka offers, each guarantee in each way, under faults of every class',
    { timeout: 300_000 },
    async (seconds) => {
      const args = ['prove', '--transport', 'kafka', '--seconds', seconds, '--seed', '7', '--json']
      const { code, stdout, stderr } = await runWaybill(args)
      const report = JSON.parse(stdout) as Report
      expect(report, stderr).toMatchObject({ verdict: 'valid', history: null })
      expect(code).toBe(0)
      const kept = new Set(ran(report).map(({ guarantee, way }) => `${guarantee} ${way}`))
      expect(kept).toEqual(
        new Set([
          'at-most-once null',
          'at-least-once null',
          'effectively-once null',
          'exactly-once fenced',
          'exactly-once idempotent',
          'exactly-once checkpoint',
        ]),
      )
      const faults = [...new Set(ran(report).map(({ fault }) => fault))].join(', ')
      for (const kind of [
        /kill (?:relay|consumer|writer)/u,
        /pause/u,
        /kafka|postgres/u,
        /terminate backends/u,
      ])
        expect(faults).toMatch(kind)
    },
  )

  it.each(['kill,sessions,server'])(
    'uses brokers and a database of yours under the faults %s, kills neither, and leaves nothing there',
    { timeout: 120_000 },
    async (faults) => {
      const brokers = await kafkaBrokers()
      const { url } = await postgresDatabase()
      const args = [
        'prove',
        '--brokers',
        brokers.join(','),
        '--database-url',
        url,
        '--guarantee',
        'exactly-once',
      ]
      const more = ['--faults', faults, '--seconds', '50', '--seed', '7', '--json']
      const { code, stdout, stderr } = await runWaybill([...args, ...more])
      const report = JSON.parse(stdout) as Report
      expect(report, stderr).toMatchObject({ verdict: 'valid' })
      expect(code).toBe(0)
      const seen = ran(report).map(({ fault }) => fault)
      expect(seen).not.toContain('kill kafka')
      expect(seen).not.toContain('kill postgres')
      expect(await leftOver(url, brokers)).toEqual([])
    },
  )
})

/** Topics and groups that bear the name of a run too. */
async function leftOver(url: string, brokers: readonly string[]): Promise<readonly string[]> {
  const admin = new Admin({ clientId: 'left over', bootstrapBrokers: [...brokers] })
  const topics = await admin.listTopics()
  const groups = await admin.listGroups()
  await admin.close()
  return [...(await schemasOf(url)), ...[...topics, ...groups.keys()].filter(isOfRun)]
}

async function schemasOf(url: string): Promise<readonly string[]> {
  const database = new Client({ connectionString: url })
  await database.connect()
  const { rows } = await database.query<{ nspname: string }>('select nspname from pg_namespace')
  await database.end()
  return rows.map(({ nspname }) => nspname).filter(isOfRun)
}

function isOfRun(name: string): boolean {
  return name.startsWith('waybill_prove')
}
