import { chmodSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Admin } from '@platformatic/kafka'
import { Client } from 'pg'
import { describe, expect, it, onTestFinished } from 'vitest'
import { describeInFullWithKafka, isFull } from '../setup/full.ts'
import { describeWithKafka, kafkaBrokers, postgresDatabase } from '../setup/servers.ts'
import { findFaketime, findSmallDisk, readHistory, until } from '../../src/testing.ts'
import { isGone, processTree } from '../../src/testing/process-tree.ts'
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
  readonly anomalies: readonly { readonly id: string; readonly kind: string }[]
}

function ran({ rows }: Report): readonly Row[] {
  return rows.filter(({ verdict }) => verdict !== 'not-run')
}

/** Every row that ran holds; one shows nothing, and says so, where the machine was busy with something else, or no message was there. */
function expectShown(report: Report, stderr: string): void {
  expect(report, stderr).toMatchObject({ rows: expect.arrayContaining([]) })
  const isBusy = ({ anomalies }: Row): boolean =>
    anomalies.some(({ id }) => id === 'machine' || id === 'messages')
  const rest = ran(report).filter(
    (row) => row.verdict !== 'valid' && !(row.verdict === 'unknown' && isBusy(row)),
  )
  expect(rest, `${JSON.stringify(rest).slice(0, 2000)}\n${stderr}`).toEqual([])
}

describe('waybill prove', () => {
  it.each([
    ['--guarantee', 'exactly-onse', 'is no guarantee. Did you mean "exactly-once"?'],
    ['--faults', 'kil', 'is no fault, and no class of them. Did you mean "kill"?'],
    ['--faults', 'network,slice', 'Did you mean "slices"?'],
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

  it.each(isFull ? ['90'] : ['45'])(
    'shows in %s seconds that exactly-once holds under faults of two classes',
    { timeout: 240_000 },
    async (seconds) => {
      const args = ['prove', '--guarantee', 'exactly-once', '--faults', 'kill,sessions', '--seconds', seconds]
      const { code, stdout, stderr } = await runWaybill([...args, '--seed', '7', '--json'])
      const report = JSON.parse(stdout) as Report
      expectShown(report, stderr)
      expect(report.seed).toBe(7)
      expect(code).toBe(report.verdict === 'valid' ? 0 : 1)
      expect(report.rows.map(({ fault }) => fault).toSorted()).toEqual([
        'kill consumer-1',
        'kill consumer-2',
        'kill writer',
        'none',
        'start',
        'terminate backends',
      ])
      expect(stderr).toContain('The same chances again:')
    },
  )

  it.each(isFull ? ['clock,disk'] : [])(
    'shows that every guarantee holds under the faults %s, or says what the machine lacks',
    { timeout: 240_000 },
    async (faults) => {
      const args = ['prove', '--faults', faults, '--seconds', '120', '--seed', '7', '--json']
      const { stdout, stderr } = await runWaybill(args)
      const report = JSON.parse(stdout) as Report
      const hasClock = findFaketime().library !== null
      const hasDisk = findSmallDisk().isAllowed
      expectShown(report, stderr)
      const seen = ran(report).map(({ fault }) => fault)
      for (const name of ['consumer-1', 'writer'])
        expect(seen.includes(`clock +3600s ${name}`), name).toBe(hasClock)
      expect(seen.includes('disk full postgres')).toBe(hasDisk)
      if (!hasClock) expect(stderr).toContain('Not run: clock; it takes the Debian package faketime.')
      if (!hasDisk) expect(stderr).toContain('Not run: disk full; it takes')
    },
  )
})

describeWithKafka('waybill prove of something that does not hold', () => {
  it(
    'ends with 1, and shows the first message that it failed and how to see it again',
    { timeout: 240_000 },
    async () => {
      const brokers = await kafkaBrokers()
      const { url } = await postgresDatabase()
      // Every message comes twice, and the inbox knows none of them again.
      const preload = ['forgetful-inbox', 'publish-twice'].map(
        (name) => `--import ${new URL(`../prove/children/${name}.ts`, import.meta.url).href}`,
      )
      const args = ['prove', '--guarantee', 'exactly-once', '--faults', 'sessions', '--seconds', '15']
      const places = ['--brokers', brokers.join(','), '--database-url', url]
      const { code, stdout, stderr } = await runWaybill([...args, ...places, '--seed', '7', '--json'], {
        env: { NODE_OPTIONS: [process.env['NODE_OPTIONS'] ?? '', ...preload].join(' ') },
      })
      expect(code, stderr).toBe(1)
      const report = JSON.parse(stdout) as Report & { readonly history: string; readonly said: string }
      onTestFinished(() => {
        rmSync(report.history)
        rmSync(report.said)
      })
      expect(report.verdict).toBe('invalid')
      const failed = report.rows.find(({ verdict }) => verdict === 'invalid')!
      const [first] = failed.anomalies
      expect(stderr).toContain(`, ${failed.fault}: ${first!.kind} ${first!.id}`)
      const doubled = failed.anomalies.find(({ kind }) => kind === 'duplicated')!
      // All that happened is in the file, and what its processes said in the other.
      expect(stderr).toContain(report.history)
      expect(stderr).toContain(report.said)
      expect(readFileSync(report.said, 'utf8')).toContain('consumer-1 1 {"isReady":true')
      const effects = readHistory([report.history]).filter(
        ({ id, f, type }) => id === doubled.id && f === 'effect' && type === 'ok',
      )
      expect(effects.length).toBeGreaterThan(1)
      expect(stderr).toMatch(/The same chances again: waybill prove .*--guarantee exactly-once.* --seed 7/u)
    },
  )
})

describeInFullWithKafka('waybill prove over Kafka', () => {
  it.each(['120'])(
    'shows in %s seconds what Kafka offers, each guarantee in each way, under faults of every class',
    { timeout: 400_000 },
    async (seconds) => {
      const args = ['prove', '--transport', 'kafka', '--seconds', seconds, '--seed', '7', '--json']
      const { code, stdout, stderr } = await runWaybill(args)
      const report = JSON.parse(stdout) as Report
      expectShown(report, stderr)
      expect(code).toBe(report.verdict === 'valid' ? 0 : 1)
      const kept = new Set(ran(report).map(({ guarantee, way }) => `${guarantee} ${way}`))
      expect(kept).toEqual(
        new Set([
          'at-most-once null',
          'at-least-once null',
          'effectively-once null',
          'exactly-once fenced',
          'exactly-once idempotent',
          'exactly-once checkpoint',
          'exactly-once transform',
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
    { timeout: 300_000 },
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
      const more = ['--faults', faults, '--seconds', '90', '--seed', '7', '--json']
      const { code, stdout, stderr } = await runWaybill([...args, ...more])
      const report = JSON.parse(stdout) as Report
      expectShown(report, stderr)
      expect(code).toBe(report.verdict === 'valid' ? 0 : 1)
      const seen = ran(report).map(({ fault }) => fault)
      expect(seen).not.toContain('kill kafka')
      expect(seen).not.toContain('kill postgres')
      expect(await leftOver(url, brokers)).toEqual([])
    },
  )
})

/** Where the run of a command stands, told by what it shows. */
const phases = ['starting', 'no fault yet']

describeInFullWithKafka('Ctrl-C of waybill prove over Kafka', () => {
  it.each(phases)(
    'leaves nothing behind at brokers and a database of yours in the phase "%s"',
    { timeout: 180_000 },
    async (phase) => {
      const brokers = await kafkaBrokers()
      const { url } = await postgresDatabase()
      const flags = ['--brokers', brokers.join(','), '--database-url', url, '--seconds', '40', '--json']
      const command = startWaybill(['prove', ...flags])
      await command.sees(phase)
      if (phase !== 'starting') expect(await leftOver(url, brokers)).not.toEqual([])
      command.process.kill('SIGINT')
      const { code, stdout } = await command.ended
      expect(code).toBe(130)
      expect(JSON.parse(stdout)).toMatchObject({ error: { code: 'WB_ABORTED' } })
      expect(await leftOver(url, brokers)).toEqual([])
    },
  )

  it('leaves no process and no file of the servers it started', { timeout: 240_000 }, async () => {
    const folder = mkdtempSync(join(tmpdir(), 'prove-interruption-'))
    onTestFinished(() => {
      rmSync(folder, { recursive: true, force: true })
    })
    // Like /tmp: the database server may run as another user, who makes and removes its data in here.
    chmodSync(folder, 0o1777)
    // No coverage of these: they are ended while they end, and would still be writing it.
    const env = { TMPDIR: folder, NODE_V8_COVERAGE: undefined }
    const command = startWaybill(['prove', '--transport', 'kafka', '--seconds', '40', '--json'], { env })
    await command.sees('no fault yet')
    const tree = processTree(command.process.pid!)
    // The command, keepers and servers, two relays, two consumers and a writer.
    expect(tree.length).toBeGreaterThan(8)
    command.process.kill('SIGINT')
    expect((await command.ended).code).toBe(130)
    await until('the end of every process', () => tree.every(isGone), { timeoutMs: 20_000 })
    await until('the end of its folders', () => readdirSync(folder).length === 0, { timeoutMs: 20_000 })
  })
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
