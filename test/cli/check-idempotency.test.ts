import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Client } from 'pg'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { HandlerReport, HandlersReport } from '../../src/testing/idempotency-handlers.ts'
import type { ModeReport } from '../../src/testing/idempotency.ts'
import { until } from '../../src/testing/until.ts'
import { isFull } from '../setup/full.ts'
import { postgresDatabase } from '../setup/servers.ts'
import { runWaybill, startWaybill } from './waybill-command.ts'

const source = fileURLToPath(new URL('../../src', import.meta.url))
const folder = mkdtempSync(join(tmpdir(), 'waybill-check-'))

const tables = `
  create table shipments (id bigint generated always as identity primary key, order_id int not null, at timestamptz default now());
  create table keyed (message_id uuid primary key, order_id int not null);
  create table orders (id serial primary key, status text not null default 'new', seen int not null default 0);
  create table audit (entry text not null);
  create view looked as select * from orders;
  insert into orders (status, seen) values ('new', 3), ('new', 4);
`

const handlers = `
  export default (waybill) => {
    const on = (consumer, handler) => waybill.consume(channel, { consumer }, handler)
    const once = 'insert into keyed (message_id, order_id) values ($1, $2)'
    on('plain', async ({ payload }, { tx }) => { await tx.query('insert into shipments (order_id) values ($1)', [payload.id]) })
    on('counts', async ({ payload }, { tx }) => { await tx.query('update orders set seen = seen + 1 where id = $1', [payload.id]) })
    on('sets', async ({ payload }, { tx }) => { await tx.query("update orders set status = 'paid' where id = $1", [payload.id]) })
    on('looks', async ({ payload }, { tx }) => {
      const { rows } = await tx.query('select from shipments where order_id = $1', [payload.id])
      if (rows.length === 0) await tx.query('insert into shipments (order_id) values ($1)', [payload.id])
    })
    const seen = new Set()
    on('remembers', async ({ id, payload }, { tx }) => {
      if (seen.has(id)) return
      seen.add(id)
      await tx.query('insert into shipments (order_id) values ($1)', [payload.id])
    })
    on('qualified', async ({ payload }, { tx }) => { await tx.query('insert into public.shipments (order_id) values ($1)', [payload.id]) })
    on('reads-original', async ({ id, payload }, { tx }) => {
      const { rows } = await tx.query('select from public.keyed where order_id = $1', [payload.id])
      if (rows.length === 0) await tx.query(once + ' on conflict do nothing', [id, payload.id])
    })
    on('unnamed', async ({ id, payload }, { tx }) => {
      await tx.query(once + ' on conflict do nothing', [id, payload.id])
      await tx.query("insert into audit values ('here')")
    })
    on('commits', async ({ id, payload }, { tx }) => {
      await tx.query("insert into public.audit values ('here')")
      // By itself it would be refused.
      await tx.query('select 1; commit')
    })
    on('idle', async () => {})
    on('publishes', async (message, { tx }) => { await waybill.publish(tx, shipped, { at: 1 }) })
    // The middleware, around both, knows the message too.
    waybill.use({ consumeBatch: async (messages, { tx }, next) => {
      await tx.query('update orders set status = $1', [messages[0].id])
      await next()
    } })
    waybill.consume(channel, { consumer: 'safe', batch: true }, async ([{ id, payload }], { tx, idempotencyKeys: [key] }) => {
      await tx.query(once + ' on conflict do nothing', [id, payload.id])
      await waybill.publish(tx, shipped, { at: 1 }, { id: key })
    })
  }
`

const standing = `
  import { channel } from './channels.ts'
  export default (waybill) => {
    waybill.consume(channel, { consumer: 'stands' }, async (message, { signal }) => {
      await new Promise((resolve) => signal.addEventListener('abort', resolve))
    })
  }
`

const root = fileURLToPath(new URL('../..', import.meta.url))

/** Writes past its transaction, as a handler does that has a pool of its own. */
const outside = (url: string): string => `
  import pg from '${root}/node_modules/pg/lib/index.js'
  import { channel } from './channels.ts'
  export default (waybill) => {
    waybill.consume(channel, { consumer: 'outside' }, async ({ id }, { tx }) => {
      await tx.query('insert into keyed (message_id, order_id) values ($1, 1) on conflict do nothing', [id])
      const own = new pg.Client({ connectionString: '${url}' })
      await own.connect()
      await own.query('update orders set seen = 100 where id = 2')
      await own.end()
    })
  }
`

/** Does nothing, and is enough where nothing gets so far. */
const quiet = `
  import { channel } from './channels.ts'
  export default (waybill) => { waybill.consume(channel, { consumer: 'quiet' }, async () => {}) }
`

let url: string
let client: Client

beforeAll(async () => {
  const database = await postgresDatabase()
  url = database.url
  client = new Client({ connectionString: url })
  await client.connect()
  await client.query(tables)
  writeFileSync(
    join(folder, 'channels.ts'),
    `import { defineChannel } from '${source}/index.ts'
     export const channel = defineChannel<{ id: number }>({ name: 'orders.placed', guarantee: 'effectively-once' })
     export const shipped = defineChannel({ name: 'orders.shipped' })`,
  )
  writeFileSync(
    join(folder, 'waybill.config.ts'),
    `import { defineConfig } from '${source}/index.ts'
     import { localTransport } from '${source}/local.ts'
     import { postgresStore } from '${source}/postgres.ts'
     import { channel, shipped } from './channels.ts'
     export default defineConfig({
       store: postgresStore({ connectionString: '${url}' }),
       transports: { local: localTransport() },
       channels: [channel, shipped],
     })`,
  )
  writeFileSync(join(folder, 'handlers.ts'), `import { channel, shipped } from './channels.ts'\n${handlers}`)
  writeFileSync(join(folder, 'standing.ts'), standing)
  writeFileSync(join(folder, 'outside.ts'), outside(url))
  writeFileSync(join(folder, 'quiet.ts'), quiet)
  writeFileSync(join(folder, 'broken.ndjson'), '{"payload": {"id": 1}}\n{"secret": 1\n')
  writeFileSync(join(folder, 'orders.ndjson'), '{"payload": {"id": 1}}\n')
})

afterAll(async () => {
  await client.end()
  rmSync(folder, { recursive: true, force: true })
})

const given = ['check-idempotency', '--messages', 'orders.ndjson', '--tables', 'shipments,keyed,orders']

let whole: { readonly code: number | null; readonly report: HandlersReport; readonly after: unknown }

/** What one run over all handlers said of this one. */
function reportOf(consumer: string): HandlerReport {
  return whole.report.handlers.find((handler) => handler.consumer === consumer)!
}

function reasonsOf({ messages }: HandlerReport): string {
  return messages.flatMap(({ reasons }) => reasons).join('\n')
}

/** Modes that found something. */
function foundIn({ messages }: HandlerReport): readonly string[] {
  return messages[0]!.modes
    .filter(({ differences, failure }) => differences.length > 0 || failure !== null)
    .map(({ mode }) => mode)
}

async function originals(): Promise<unknown> {
  const { rows } = await client.query(
    `select (select count(*) from shipments) as shipments, (select count(*) from keyed) as keyed,
       (select count(*) from audit) as audit, (select array_agg(o order by id) from orders o) as orders,
       (select count(*) from pg_namespace where nspname like 'waybill%') as schemas`,
  )
  return rows[0]
}

const untouched = {
  shipments: '0',
  keyed: '0',
  audit: '0',
  orders: '{"(1,new,3)","(2,new,4)"}',
  schemas: '0',
}

describe('waybill check-idempotency', () => {
  beforeAll(async () => {
    const args = [...given, '--handlers', 'handlers.ts', '--rounds', '1', '--json']
    const { code, stdout, stderr } = await runWaybill(args, { cwd: folder })
    expect(stdout, stderr).toMatch(/^[^\n]+\n$/u)
    whole = { code, report: JSON.parse(stdout) as HandlersReport, after: await originals() }
  }, 600_000)

  it('leaves the tables as they were, and no schema', () => {
    expect(whole.after).toEqual(untouched)
  })

  it('has a verdict of the whole, and an exit code by it', () => {
    expect(whole).toMatchObject({ code: 1, report: { verdict: 'not idempotent' } })
  })

  it.each(['safe', 'sets'])('finds the handler "%s" idempotent', (consumer) => {
    const report = reportOf(consumer)
    expect(report.verdict, reasonsOf(report)).toBe('idempotent')
    const modes = report.messages[0]!.modes.map(({ mode }) => mode)
    expect(modes).toEqual(['once', 'once-again', 'twice', 'together', 'crash', 'unsettled'])
    expect(foundIn(report)).toEqual([])
  })

  it.each([
    ['plain', ['twice', 'together', 'unsettled']],
    ['counts', ['twice', 'together', 'unsettled']],
    ['publishes', ['twice', 'together', 'unsettled']],
    // Only two that meet show it: each alone sees what the other left.
    ['looks', ['together']],
    // What it keeps in memory is gone with the process.
    ['remembers', ['unsettled']],
  ])('finds the handler "%s" not idempotent, in %j', (consumer, modes) => {
    const report = reportOf(consumer)
    expect(report.verdict, reasonsOf(report)).toBe('not idempotent')
    expect(foundIn(report)).toEqual(modes)
  })

  it.each([
    ['qualified', 'it wrote public.shipments'],
    ['reads-original', 'it read public.keyed'],
    ['unnamed', 'it wrote public.audit'],
    ['commits', 'it wrote public.audit'],
    ['idle', 'changed nothing in the tables that are compared'],
  ])('says unknown of the handler "%s", because %s', (consumer, reason) => {
    const report = reportOf(consumer)
    expect(report.verdict).toBe('unknown')
    expect(reasonsOf(report)).toContain(reason)
  })

  it('names table, counts and key of a difference, and no values', () => {
    const mode = (consumer: string): ModeReport =>
      reportOf(consumer).messages[0]!.modes.find((each) => each.mode === 'twice')!
    expect(mode('counts').differences).toEqual([
      {
        table: 'orders',
        more: 0,
        less: 0,
        different: 1,
        first: { kind: 'different', key: { id: '1' }, columns: ['seen'] },
      },
    ])
    expect(mode('plain').differences).toMatchObject([{ table: 'shipments', more: 1, less: 0, different: 0 }])
  })

  it('tells which columns it does not compare, and why', () => {
    expect(whole.report.ignored).toEqual({
      'shipments.id': 'identity',
      'shipments.at': 'default now()',
      'orders.id': "default nextval('public.orders_id_seq'::regclass)",
    })
  })

  it('removes the copies at Ctrl-C, and ends with what a signal ends with', async () => {
    const args = [...given, '--handlers', 'standing.ts']
    const running = startWaybill(args, { cwd: folder })
    const held = `select from pg_locks l join pg_class c on c.oid = l.relation where c.relname = 'waybill gate'
      and l.mode = 'RowExclusiveLock'`
    await until('the handler to stand', async () => (await client.query(held)).rows.length > 0)
    running.process.kill('SIGINT')
    const { code, stderr } = await running.ended
    expect(stderr).toMatch(/The schema waybill_check_\w+ is removed/u)
    expect(code).toBe(130)
    expect(await originals()).toEqual(untouched)
  })

  it('says unknown where an original changed during the check', async () => {
    const args = [...given, '--handlers', 'outside.ts', '--rounds', '1']
    const { code, stdout } = await runWaybill(args, { cwd: folder })
    await client.query('update orders set seen = 4 where id = 2')
    expect(stdout).toContain('orders itself changed during the check')
    expect(stdout).toContain('verdict unknown')
    expect(code).toBe(1)
  })

  it('says unknown where the copies could not be made, and why', async () => {
    const role = `check_${process.pid}_${Date.now()}`
    await client.query(`create role ${role} login; grant select on all tables in schema public to ${role}`)
    const own = new URL(url)
    own.username = role
    const config = readFileSync(join(folder, 'waybill.config.ts'), 'utf8').replace(url, own.href)
    writeFileSync(join(folder, 'poor.config.ts'), config)
    const args = [...given, '--handlers', 'quiet.ts', '--config', 'poor.config.ts', '--json']
    const { code, stdout } = await runWaybill(args, { cwd: folder })
    await client.query(`drop owned by ${role}; drop role ${role}`)
    expect(JSON.parse(stdout)).toMatchObject({
      verdict: 'unknown',
      notes: [expect.stringContaining('permission denied for database')],
    })
    expect(code).toBe(1)
  })

  const wrong: readonly (readonly [readonly string[], string])[] = [
    [[], "required option '--handlers <file>'"],
    [['--handlers', 'gone.ts'], 'could not be loaded'],
    [['--handlers', 'channels.ts'], 'no function as default export'],
    [['--handlers', 'quiet.ts', '--consumer', 'other'], 'there are: quiet of orders.placed'],
    [['--handlers', 'quiet.ts', '--messages', 'gone.ndjson'], '--messages gone.ndjson cannot be read'],
    [['--handlers', 'quiet.ts', '--messages', 'broken.ndjson'], 'line 2 of the messages is not JSON'],
    [['--handlers', 'quiet.ts', '--tables', 'gone'], 'There is no table gone'],
    [['--handlers', 'quiet.ts', '--tables', 'looked'], 'looked is no table (a view?)'],
    [['--handlers', 'quiet.ts', '--max-rows', '1'], 'orders has more than 1 rows'],
    [['--handlers', 'quiet.ts', '--ignore', 'orders.sene'], 'Did you mean "orders.seen"?'],
    [['--handlers', 'quiet.ts', '--rounds', '0'], 'a whole number, 1 or more'],
  ]
  it.each(isFull ? wrong : wrong.slice(0, 3))(
    'refuses %j as a usage error, and says what to do',
    async (more, message) => {
      const { code, stdout, stderr } = await runWaybill([...given, ...more], { cwd: folder })
      expect(stderr).toContain(message)
      expect(stderr).not.toContain('secret')
      expect(stdout).toBe('')
      expect(code).toBe(2)
      expect(await originals()).toEqual(untouched)
    },
  )

  it('says what it does, finds and cannot find', async () => {
    const { stdout } = await runWaybill(['check-idempotency', '--help'])
    for (const text of ['$ waybill check-idempotency', 'What it can find', 'What it cannot', '--ignore'])
      expect(stdout).toContain(text)
  })
})
