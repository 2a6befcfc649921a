import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Client } from 'pg'
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest'
import { runProof } from '../../src/prove/run.ts'
import type { Row } from '../../src/prove/rows.ts'
import { Service } from '../../src/prove/service/service.ts'
import { guarantees } from '../../src/guarantees/guarantees.ts'
import { runWaybill } from '../cli/waybill-command.ts'
import { isFull } from '../setup/full.ts'
import { postgresDatabase } from '../setup/servers.ts'

const root = new URL('../..', import.meta.url)
const source = fileURLToPath(new URL('src', root))
const folder = mkdtempSync(join(tmpdir(), 'waybill-prove-'))
const password = 'canary-of-a-password'

const tables = `
  create table shipments (id bigint generated always as identity primary key, order_id int not null, at timestamptz default now());
  create table keyed (message_id uuid primary key, order_id int not null);
  create table states (customer text primary key, order_id int not null);
  create table audit (entry text not null);
`

const files: Readonly<Record<string, string>> = {
  'channels.ts': `
    import { z } from '${fileURLToPath(new URL('node_modules/zod/index.js', root))}'
    import { defineChannel } from '${source}/index.ts'
    const schema = z.object({ id: z.int().positive(), customer: z.string() })
    export const placed = defineChannel({ name: 'orders.placed', guarantee: 'effectively-once', schema, key: (order) => order.customer })
    export const paid = defineChannel({ name: 'orders.paid', guarantee: 'exactly-once', schema })
    export const viewed = defineChannel({ name: 'orders.viewed', guarantee: 'at-most-once' })
    export const noted = defineChannel({ name: 'orders.noted', consumers: { archive: 'none', search: 'idempotent' } })`,
  'plain.ts': `
    import { placed } from './channels.ts'
    export default (waybill) => {
      waybill.consume(placed, { consumer: 'shipping', idempotent: true }, async ({ payload }, { tx }) => {
        await tx.query('insert into shipments (order_id) values ($1)', [payload.id])
      })
    }`,
  'good.ts': `
    import { placed, paid, noted } from './channels.ts'
    export default (waybill) => {
      waybill.consume(placed, { consumer: 'shipping', idempotent: true }, async ({ id, payload }, { tx }) => {
        await tx.query('insert into keyed (message_id, order_id) values ($1, $2) on conflict do nothing', [id, payload.id])
      })
      waybill.consume(placed, { consumer: 'state', idempotent: true, batch: true }, async (messages, { tx }) => {
        for (const { payload } of messages)
          await tx.query(
            'insert into states values ($1, $2) on conflict (customer) do update set order_id = excluded.order_id',
            [payload.customer, payload.id],
          )
      })
      waybill.consume(paid, { consumer: 'billing' }, async ({ payload }, { tx }) => {
        await tx.query('insert into shipments (order_id) values ($1)', [payload.id])
        await waybill.publish(tx, noted, payload)
      })
      waybill.consume(noted, { consumer: 'archive' }, async () => {})
    }`,
  'leaving.ts': `
    import { placed } from './channels.ts'
    export default (waybill) => {
      waybill.consume(placed, { consumer: 'shipping', idempotent: true }, async ({ id, payload }, { tx }) => {
        await tx.query('insert into keyed (message_id, order_id) values ($1, $2) on conflict do nothing', [id, payload.id])
        await tx.query("insert into audit values ('here')")
      })
    }`,
  'committing.ts': `
    import { placed } from './channels.ts'
    export default (waybill) => {
      waybill.consume(placed, { consumer: 'shipping', idempotent: true }, async (message, { tx }) => {
        await tx.query("insert into public.audit values ('here')")
        // By itself it would be refused.
        await tx.query('select 1; commit')
      })
    }`,
  'viewing.ts': `
    import { viewed } from './channels.ts'
    export default (waybill) => { waybill.consume(viewed, { consumer: 'counter' }, async () => {}) }`,
}

let url: string
let client: Client

beforeAll(async () => {
  const database = await postgresDatabase()
  const given = new URL(database.url)
  // Nobody asks for it here, and so it may be any.
  given.password = password
  url = given.href
  client = new Client({ connectionString: url })
  await client.connect()
  await client.query(tables)
  for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, name), text)
  const config = `
    import { defineConfig } from '${source}/index.ts'
    import { localTransport } from '${source}/local.ts'
    import { postgresStore } from '${source}/postgres.ts'
    import { noted, paid, placed, viewed } from './channels.ts'
    export default defineConfig({
      store: postgresStore({ connectionString: '${url}' }),
      transports: { local: localTransport() },
      channels: [placed, paid, viewed, noted],
      maxAttempts: 1000,
    })`
  writeFileSync(join(folder, 'waybill.config.ts'), config)
})

afterAll(async () => {
  await client.end()
  rmSync(folder, { recursive: true, force: true })
})

/** Rows of the user's own, and schemas that are none of his. */
async function left(): Promise<unknown> {
  const { rows } = await client.query(
    `select (select count(*) from shipments)::int as shipments, (select count(*) from keyed)::int as keyed,
       (select count(*) from states)::int as states, (select count(*) from audit)::int as audit,
       array(select nspname::text from pg_namespace where nspname !~ '^pg_' and nspname not in ('public', 'information_schema')) as schemas`,
  )
  return rows[0]
}

const nothing = { shipments: 0, keyed: 0, states: 0, audit: 0, schemas: [] }

async function prove(
  ...args: readonly string[]
): Promise<{ readonly code: number | null; readonly report: unknown; readonly said: string }> {
  const { code, stdout, stderr } = await runWaybill(['prove', ...args, '--json'], { cwd: folder })
  const said = stdout + stderr
  expect(said).not.toContain(password)
  return { code, report: stdout === '' ? null : JSON.parse(stdout), said }
}

describe('waybill prove with a configuration of yours', () => {
  it.each([
    [
      ['--config', 'waybill.config.ts', '--transport', 'kafka'],
      '--transport does not go with a configuration',
    ],
    [['--handlers', 'plain.ts', '--database-url', 'postgres://h/d'], '--database-url does not go with'],
    [['--messages', 'orders.ndjson'], '--messages goes with --config or --handlers'],
    [['--lease-ms', '5s'], '--lease-ms goes with --config or --handlers'],
    [['--config', 'waybill.config.ts', '--tables', 'keyed'], '--tables goes with --handlers'],
    [
      ['--config', 'waybill.config.ts', '--channel', 'orders.plaecd'],
      'No channel of the configuration is left to be proven. It has no channel "orders.plaecd". Did you mean "orders.placed"?',
    ],
    [
      ['--config', 'waybill.config.ts', '--channel', 'orders.noted', '--consumer', 'serch'],
      '"orders.noted" declares no consumer "serch". Did you mean "search"? There are: archive, search.',
    ],
    [
      ['--config', 'waybill.config.ts', '--channel', 'orders.placed', '--consumer', 'shipping'],
      '"orders.placed" declares no consumer "shipping". It declares none at all: leave --consumer out',
    ],
    [
      ['--config', 'waybill.config.ts', '--consumer', 'none'],
      'No channel declares a consumer "none". There are: prove, archive, search.',
    ],
    [['--handlers', 'plain.ts', '--consumer', 'none'], 'No handler is of the channel and consumer asked for'],
    [['--config', 'none.config.ts'], 'none.config.ts'],
    [['--handlers', 'viewing.ts'], 'No payload can be made up for channel "orders.viewed"'],
    [
      ['--handlers', 'plain.ts', '--messages', 'none.ndjson'],
      '--messages none.ndjson cannot be read (ENOENT)',
    ],
  ])('refuses %j as a usage error', async (args, message) => {
    const { code, said } = await prove(...args)
    expect(said).toContain(message)
    expect(code).toBe(2)
  })

  it.each([
    [['--tables', 'shipmets'], 'There is no table shipmets'],
    [['--tables', 'keyed', '--ignore', 'keyed.ordr_id'], 'keyed.ordr_id is none. Did you mean'],
  ])('says of %j what is not there, and leaves nothing behind', async (args, message) => {
    const { code, said } = await prove('--handlers', 'plain.ts', ...args, '--seconds', '15')
    expect(said).toContain(message)
    expect(code).toBe(2)
    expect(await left()).toEqual(nothing)
  })

  it.each([
    ['leaving.ts', 'The handler of shipping for orders.placed left the copies', 'it wrote public.audit'],
    // The server refuses that COMMIT, and so the process never gets to say more.
    ['committing.ts', 'The handler of shipping for orders.placed', 'it wrote public.audit'],
  ])(
    'ends where a handler leaves the copies (%s), which then has touched nothing',
    async (file, who, what) => {
      const args = ['--handlers', file, '--tables', 'keyed', '--faults', 'kill', '--seconds', '60']
      const { code, report, said } = await prove(...args)
      expect(report, said).toMatchObject({ error: { code: 'WB_PROOF_FAILED' } })
      expect(said).toContain(who)
      expect(said).toContain(what)
      expect(code).toBe(1)
      expect(await left()).toEqual(nothing)
    },
  )

  it.each(isFull ? [[]] : [])(
    'proves its channels with handlers that keep a ledger',
    { timeout: 240_000 },
    async () => {
      const { code, report, said } = await prove(
        '--faults',
        'kill,sessions',
        '--config',
        'waybill.config.ts',
        '--seconds',
        '60',
      )
      expect(report, said).toMatchObject({ verdict: 'valid' })
      expect(code).toBe(0)
      expect(pairsOf((report as { readonly rows: readonly Row[] }).rows)).toEqual([
        'orders.noted archive',
        'orders.noted search',
        'orders.paid prove',
        'orders.placed prove',
        'orders.viewed prove',
      ])
      expect(await left()).toEqual(nothing)
    },
  )

  it.each(isFull ? [[]] : [])(
    'proves good handlers, on copies of their tables',
    { timeout: 240_000 },
    async () => {
      const args = [
        '--handlers',
        'good.ts',
        '--tables',
        'keyed,states,shipments',
        '--faults',
        'kill,sessions,lost commit consumers-postgres',
      ]
      const { code, report, said } = await prove(...args, '--seconds', '75')
      expect(report, said).toMatchObject({ verdict: 'valid' })
      expect(code).toBe(0)
      expect(pairsOf((report as { readonly rows: readonly Row[] }).rows)).toEqual([
        'orders.noted archive',
        'orders.paid billing',
        'orders.placed shipping',
        'orders.placed state',
      ])
      expect(await left()).toEqual(nothing)
    },
  )

  it.each(
    isFull
      ? ([
          ['plain.ts', 'has another effect', true],
          ['good.ts', 'has none', false],
        ] as const)
      : [],
  )('shows of the handler in %s that a repeat %s', { timeout: 240_000 }, async (file, _what, isFound) => {
    const service = await Service.choose({
      config: join(folder, 'waybill.config.ts'),
      flags: {},
      handlers: join(folder, file),
      messages: null,
      guarantees,
      channel: 'orders.placed',
      consumer: undefined,
    })
    const preload = new URL('children/lose-settlement.ts', import.meta.url).href
    const { rows, history, said } = await runProof({
      databaseUrl: null,
      subject: { service, copies: { tables: ['keyed', 'states', 'shipments'], ignore: [], maxRows: 1000 } },
      server: null,
      disk: { missing: 'yours' },
      kafka: null,
      guarantees,
      faults: ['sessions'],
      seconds: 15,
      seed: 7,
      signal: AbortSignal.timeout(200_000),
      env: { NODE_OPTIONS: `${process.env['NODE_OPTIONS'] ?? ''} --import ${preload}` },
      onView: () => {},
      onLeftBehind: (what, error) => {
        throw new Error(`left behind: ${what}`, { cause: error })
      },
    })
    onTestFinished(() => {
      for (const path of [history, said]) if (path !== null) rmSync(path)
    })
    const kinds = new Set(rows.flatMap(({ anomalies }) => anomalies.map(({ kind }) => kind)))
    // Whatever is judged: its messages came again.
    expect(rows.reduce((sum, { rerun }) => sum + rerun, 0)).toBeGreaterThan(0)
    expect(kinds.has('duplicated')).toBe(isFound)
  })
})

function pairsOf(rows: readonly Row[]): readonly string[] {
  return [...new Set(rows.map(({ channel, consumer }) => `${channel} ${consumer}`))].toSorted()
}
