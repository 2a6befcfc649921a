import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Client } from 'pg'
import { afterAll, describe, expect, it } from 'vitest'
import { settingNames, flagOf } from '../../src/app/settings-table.ts'
import { postgresDatabase } from '../setup/servers.ts'
import { runWaybill, startWaybill } from './waybill-command.ts'

const folder = mkdtempSync(join(tmpdir(), 'waybill-cli-'))
afterAll(() => {
  rmSync(folder, { recursive: true, force: true })
})

const source = fileURLToPath(new URL('../../src', import.meta.url))

function configFile(name: string, url: string, transport = '{ local: localTransport() }', more = ''): string {
  const path = join(folder, name)
  writeFileSync(
    path,
    `import { defineChannel, defineConfig } from '${source}/index.ts'
     import { localTransport } from '${source}/local.ts'
     import { kafkaTransport } from '${source}/kafka.ts'
     import { postgresStore } from '${source}/postgres.ts'
     void kafkaTransport
     export default defineConfig({
       store: postgresStore({ connectionString: '${url}', schema: 'cli_test' }),
       transports: ${transport},
       channels: [defineChannel({ name: 'orders.placed', ${more} })],
     })`,
  )
  return path
}

describe('the command line', () => {
  it('shows its commands, and for each what it takes and examples', async () => {
    const help = await runWaybill(['--help'])
    expect(help).toMatchObject({ code: 0, stderr: '' })
    for (const name of ['demo', 'advise', 'migrate', 'explain', 'relay', 'status', '--json'])
      expect(help.stdout).toContain(name)
    for (const name of ['demo', 'advise', 'migrate', 'explain', 'relay', 'status']) {
      const { code, stdout } = await runWaybill([name, '--help'])
      expect({ code, stdout }).toMatchObject({
        code: 0,
        stdout: expect.stringContaining(`$ waybill ${name}`),
      })
      expect(stdout).toContain('--json')
    }
  })

  it('prints its version', async () => {
    expect((await runWaybill(['--version'])).stdout).toMatch(/^\d+\.\d+\.\d+/u)
  })

  it('has a flag for every setting', async () => {
    const { stdout } = await runWaybill(['relay', '--help'])
    for (const name of settingNames) expect(stdout).toContain(`${flagOf(name)} <`)
  })

  it.each([
    [['dmeo'], 'Did you mean demo?'],
    [['demo', '--secnds', '3'], 'Did you mean --seconds?'],
    [['demo', '--seconds', 'ten'], 'a number from 1 to 3600'],
    [['demo', '--seconds', '0'], 'a number from 1 to 3600'],
    [['demo', '--seed', '-1'], 'a whole number'],
    [['demo', '--transport', 'pigeon'], 'local, kafka'],
    [['demo', '--without', 'tests'], 'inbox, outbox'],
    [['demo', '--brokers', 'here'], 'host:port'],
    [['demo', '--transport', 'local', '--brokers', 'localhost:9092'], '--transport kafka'],
    [['demo', 'now'], 'too many arguments'],
    [[], 'Commands:'],
  ])('refuses %j as a usage error, and says what to do', async (args, message) => {
    const { code, stdout, stderr } = await runWaybill(args)
    expect(stderr).toContain(message)
    expect(stdout).toBe('')
    expect(code).toBe(2)
  })

  it('does not repeat a database URL it cannot use', async () => {
    const { code, stderr } = await runWaybill(['demo', '--database-url', 'mysql://me:secret@host/db'])
    expect(code).toBe(2)
    expect(stderr).toContain('postgres://')
    expect(stderr).not.toContain('secret')
  })

  it('answers with --json in one line on stdout, whatever is wrong', async () => {
    for (const args of [['demo', '--seconds', 'ten'], ['migrate', '--config', 'gone.ts'], ['nonsense']]) {
      const { stdout, stderr } = await runWaybill([...args, '--json'], { cwd: folder })
      expect(stdout).toMatch(/^[^\n]+\n$/u)
      expect(JSON.parse(stdout)).toMatchObject({ error: { code: expect.stringMatching(/^WB_/u) } })
      expect(stderr).not.toBe('')
    }
  })

  it('colours nothing where there is no terminal', async () => {
    const { stderr } = await runWaybill(['migrate'], { cwd: folder })
    expect(stderr).not.toContain('\u001B')
  })
})

describe('waybill migrate', () => {
  it('says where it looked for a configuration', async () => {
    const { code, stderr } = await runWaybill(['migrate'], { cwd: folder })
    expect(code).toBe(1)
    expect(stderr).toContain(`There is no waybill.config.ts in ${folder}`)
    expect(stderr).toContain('--config')
  })

  it('prints the migrations and changes nothing', async () => {
    const { url } = await postgresDatabase()
    const config = configFile('print.config.ts', url)
    const { code, stdout } = await runWaybill(['migrate', '--print', '--config', config])
    expect(code).toBe(0)
    expect(stdout.toLowerCase()).toContain('create table')
    expect(JSON.parse((await runWaybill(['migrate', '--config', config, '--json'])).stdout)).toEqual({
      applied: [1],
    })
  })

  it('brings the schema up to date, once, from the configuration of the folder', async () => {
    const { url } = await postgresDatabase()
    configFile('waybill.config.ts', url)
    const first = await runWaybill(['migrate'], { cwd: folder })
    expect(first).toMatchObject({ code: 0, stdout: 'Applied: version 1.\n' })
    const second = await runWaybill(['migrate', '--json'], { cwd: folder })
    expect(second).toMatchObject({
      code: 0,
      stdout: '{"applied":[]}\n',
      stderr: 'The schema is up to date.\n',
    })
  })

  it('changes the number of partitions, tells what is left in the older ones, and may be run again', async () => {
    const { url } = await postgresDatabase()
    const config = configFile('partitions.config.ts', url)
    await runWaybill(['migrate', '--config', config])
    const client = new Client({ connectionString: url })
    client.on('error', () => {})
    await client.connect()
    await client.query(`select cli_test.publish('orders.placed', '{}', 'a')`)
    const change = ['migrate', '--config', config, '--partitions', '4', '--wait', '0s']
    const first = await runWaybill([...change, '--json'])
    expect(first.code).toBe(0)
    const remains = [
      { channel: 'orders.placed', ordered: false, kind: 'waiting', count: 1, isAtLeast: false },
    ]
    const now = { transport: 'local', partitions: 4, isDraining: true, remains, blocked: [] }
    expect(JSON.parse(first.stdout)).toEqual({ applied: [], partitions: [{ ...now, before: 16 }] })
    const second = await runWaybill(change)
    expect(second.stdout).toBe(
      'The schema is up to date.\nlocal: has 4 partitions; relays go on with the older ones.\n' +
        '  · orders.placed: 1 not sent yet: is a relay running?\n' +
        'New messages do not wait for them.\n',
    )
    await client.query('delete from cli_test.outbox')
    await client.end()
    const unknown = await runWaybill([...change, '--transport', 'locl'])
    expect(unknown).toMatchObject({ code: 1, stderr: expect.stringContaining('Did you mean "local"?') })
  })

  it('refuses to change the number of partitions while a key is blocked, and names it where it holds a change up', async () => {
    const { url } = await postgresDatabase()
    const config = configFile('blocked.config.ts', url, undefined, `ordered: true, key: () => 'a'`)
    await runWaybill(['migrate', '--config', config])
    const client = new Client({ connectionString: url })
    client.on('error', () => {})
    await client.connect()
    await client.query(`select cli_test.publish('orders.placed', '{}', 'a')`)
    await client.query(
      `insert into cli_test.blocked (partition, seq, id, channel, key, state, attempts, retry_at, error_code, error, first_error_code, first_error)
       select partition, seq, id, channel, key, 'blocked', 1, 'infinity', 'E', 'e', 'E', 'e' from cli_test.outbox`,
    )
    const change = ['migrate', '--config', config, '--partitions', '4', '--wait', '0s']
    const count = async (): Promise<number> =>
      (await client.query('select partitions from cli_test.transports')).rows[0].partitions
    const refused = await runWaybill(change)
    expect(refused).toMatchObject({
      code: 1,
      stderr: expect.stringMatching(/1 of channel "orders\.placed".*waybill keys list/su),
    })
    expect(await count()).toBe(16)
    const held = ['1 of blocked keys', 'wait for blocked keys: 1 of channel "orders.placed"']
    const forced = await runWaybill([...change, '--yes'])
    expect(await count()).toBe(4)
    // Again: nothing is to be begun any more, and what holds it up is told.
    const again = await runWaybill(change)
    for (const { code, stdout } of [forced, again]) {
      expect(code).toBe(1)
      for (const text of held) expect(stdout.replaceAll(/\s+/gu, ' ')).toContain(text)
    }
    await client.end()
  })

  it('says what it waits for where nothing stands in the older partitions', async () => {
    const { url } = await postgresDatabase()
    const config = configFile('dry.config.ts', url)
    await runWaybill(['migrate', '--config', config])
    const { stderr } = await runWaybill(['migrate', '--config', config, '--partitions', '4', '--wait', '2s'])
    expect(stderr).toContain('local: nothing stands in the older partitions; waiting for a relay')
    expect(stderr).not.toContain('waiting for 0 messages')
  })

  it('says in its help what --partitions does here, and one default of --wait', async () => {
    const { stdout } = await runWaybill(['migrate', '--help'])
    const help = stdout.replaceAll(/\s+/gu, ' ')
    expect(help).toContain(
      '--partitions <number> Partitions that each transport of the configuration is to have',
    )
    expect(help).toMatch(/--wait <duration> [^(]*\(default: 60s\) /u)
    expect(help).not.toContain('60000)')
  })

  it('refuses a wait without its unit', async () => {
    const { code, stderr } = await runWaybill(['migrate', '--partitions', '4', '--wait', '60'])
    expect({ code, stderr }).toEqual({ code: 2, stderr: expect.stringContaining('a time such as 90s') })
  })

  it.each([
    ['broken.config.ts', 'throw new Error("no such luck")', 'no such luck'],
    ['empty.config.ts', 'export const config = {}', 'no default export'],
    [
      'pending.config.ts',
      'await new Promise(() => {})\nexport default {}',
      'pending.config.ts could not be loaded',
    ],
    [
      'stuck.config.ts',
      'import "data:text/javascript,await new Promise(() => {})"\nexport default {}',
      'a top-level await in it',
    ],
    ['wrong.config.ts', 'export default { stor: {} }', '"store"'],
  ])('names what is wrong with %s', async (name, text, message) => {
    writeFileSync(join(folder, name), text)
    const { code, stderr } = await runWaybill(['migrate', '--config', name], { cwd: folder })
    expect(code).toBe(1)
    expect(stderr).toContain(message)
    expect(stderr).toContain('WB_INVALID_CONFIG')
  })

  it('says what a folder lacks whose files are no modules', async () => {
    const common = join(folder, 'common')
    mkdirSync(common)
    writeFileSync(join(common, 'package.json'), '{ "type": "commonjs" }')
    writeFileSync(join(common, 'waybill.config.ts'), 'import "node:fs"\nexport default {}')
    const { code, stderr } = await runWaybill(['migrate'], { cwd: common })
    expect(code).toBe(1)
    expect(stderr).toContain('npm pkg set type=module')
  })

  it('lets a flag win, and names it where it is wrong', async () => {
    const config = configFile('flag.config.ts', 'postgres://127.0.0.1:1/none')
    const { code, stderr } = await runWaybill(['migrate', '--config', config, '--lease-ms', 'soon'])
    // The command line is wrong, not what it was to do.
    expect(code).toBe(2)
    expect(stderr).toContain('(from --lease-ms)')
  })
})

describe('waybill relay', () => {
  it('refuses a configuration in which nothing is to be relayed', async () => {
    const config = configFile('local.config.ts', 'postgres://127.0.0.1:1/none')
    const { code, stderr } = await runWaybill(['relay', '--config', config])
    expect(code).toBe(1)
    expect(stderr).toContain('nothing to relay')
  })

  it('refuses to run on a database without a schema, and says how to get it', async () => {
    const { url } = await postgresDatabase()
    const config = configFile(
      'kafka.config.ts',
      url,
      "{ kafka: kafkaTransport({ brokers: ['127.0.0.1:1'] }) }",
    )
    const { code, stderr } = await runWaybill(['relay', '--config', config])
    expect(code).toBe(1)
    expect(stderr).toContain('WB_SCHEMA_MISSING')
    expect(stderr).toContain('waybill migrate')
  })

  it('runs until SIGTERM and then says what it has done', async () => {
    const { url } = await postgresDatabase()
    const abilities =
      'ordersBatch: true, isLocal: false, maxBytes: 1000, confirms: true, settles: true, keepsOrder: true'
    const what = `kind: 'test', capabilities: { ${abilities} }`
    const transport = `{ test: {
      ${what},
      open: () => ({
        ${what},
        openPublisher: async () => ({ publish: async (batch) => batch.map(() => ({ outcome: 'confirmed' })), close: async () => {} }),
        close: async () => {},
      }),
    } }`
    const config = configFile('test.config.ts', url, transport)
    await runWaybill(['migrate', '--config', config])
    const relay = startWaybill(['relay', '--config', config, '--json'])
    await relay.sees('The relay is running')
    relay.process.kill('SIGTERM')
    const { code, stdout } = await relay.ended
    expect(code).toBe(0)
    expect(JSON.parse(stdout)).toMatchObject({ relays: [{ transport: 'test', confirmed: 0 }] })
  })
})
