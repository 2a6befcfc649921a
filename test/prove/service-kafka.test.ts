import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Admin } from '@platformatic/kafka'
import { Client } from 'pg'
import { expect, it, onTestFinished } from 'vitest'
import type { Row } from '../../src/prove/rows.ts'
import { runWaybill } from '../cli/waybill-command.ts'
import { isFull } from '../setup/full.ts'
import { describeWithKafka, kafkaBrokers, postgresDatabase } from '../setup/servers.ts'

const source = fileURLToPath(new URL('../../src', import.meta.url))

interface Shop {
  readonly folder: string
  readonly client: Client
  readonly admin: Admin
}

/** A service of somebody's: a channel of each guarantee over Kafka, one over both, and a topic that holds what is none of the proof's. */
async function shop(): Promise<Shop> {
  const [{ url }, brokers] = await Promise.all([postgresDatabase(), kafkaBrokers()])
  const folder = mkdtempSync(join(tmpdir(), 'waybill-prove-kafka-'))
  writeFileSync(
    join(folder, 'channels.ts'),
    `
    import { defineChannel } from '${source}/index.ts'
    export const placed = defineChannel({ name: 'orders.placed', guarantee: 'effectively-once', address: 'orders', key: (order) => order.customer })
    export const paid = defineChannel({ name: 'orders.paid', guarantee: 'exactly-once', key: (order) => order.customer })
    export const viewed = defineChannel({ name: 'orders.viewed', guarantee: 'at-most-once' })
    export const noted = defineChannel({ name: 'orders.noted', consumers: { archive: 'none', search: 'idempotent' } })
    export const here = defineChannel({ name: 'orders.here' })`,
  )
  writeFileSync(
    join(folder, 'waybill.config.ts'),
    `
    import { defineConfig } from '${source}/index.ts'
    import { kafkaTransport } from '${source}/kafka.ts'
    import { localTransport } from '${source}/local.ts'
    import { httpMonitor } from '${source}/monitor.ts'
    import { postgresStore } from '${source}/postgres.ts'
    import * as all from './channels.ts'
    export default defineConfig({
      store: postgresStore({ connectionString: '${url}' }),
      transports: { kafka: kafkaTransport({ brokers: ${JSON.stringify(brokers)}, groupProtocol: 'consumer' }), local: localTransport() },
      channels: [all.placed.via('kafka'), all.paid.via('kafka'), all.viewed.via('kafka'), all.noted.via('kafka'), all.here.via('local')],
      maxAttempts: 1000,
      monitor: httpMonitor(),
      httpPort: 9464,
    })`,
  )
  writeFileSync(
    join(folder, 'handlers.ts'),
    `
    import { paid, placed, noted } from './channels.ts'
    export default (waybill) => {
      waybill.consume(placed, { consumer: 'shipping', idempotent: true }, async ({ id, payload }, { tx }) => {
        await tx.query('insert into keyed (message_id, customer) values ($1, $2) on conflict do nothing', [id, payload.customer])
      })
      waybill.consume(paid, { consumer: 'billing' }, async ({ payload }, { tx }) => {
        await tx.query('insert into bills (customer) values ($1)', [payload.customer])
        await waybill.publish(tx, noted, payload)
      })
    }`,
  )
  writeFileSync(
    join(folder, 'messages.ndjson'),
    [1, 2, 3, 4]
      .flatMap((n) =>
        ['orders.placed', 'orders.paid'].map((channel) => ({ channel, payload: { customer: `c-${n}` } })),
      )
      .map((line) => `${JSON.stringify(line)}\n`)
      .join(''),
  )
  const client = new Client({ connectionString: url })
  await client.connect()
  await client.query('create table keyed (message_id uuid primary key, customer text not null)')
  await client.query(
    'create table bills (number bigint generated always as identity primary key, customer text not null)',
  )
  const admin = new Admin({ clientId: 'test', bootstrapBrokers: brokers })
  onTestFinished(async () => {
    await Promise.all([client.end(), admin.close()])
    rmSync(folder, { recursive: true, force: true })
  })
  return { folder, client, admin }
}

const ofTheRun = [
  'handlers of the run',
  ['--config', 'waybill.config.ts'],
  [
    'orders.here prove',
    'orders.noted archive',
    'orders.noted search',
    'orders.paid prove',
    'orders.placed prove',
    'orders.viewed prove',
  ],
] as const

/** What runs of a proof have there. */
async function atKafka(admin: Admin): Promise<readonly string[]> {
  const [topics, groups] = await Promise.all([
    admin.listTopics({ includeInternals: false }),
    admin.listGroups(),
  ])
  return [...topics, ...groups.keys()].filter((name) => name.startsWith('waybill_prove_')).toSorted()
}

describeWithKafka('waybill prove with a configuration over Kafka', () => {
  it.each([
    [
      'handlers of the service',
      ['--handlers', 'handlers.ts', '--tables', 'keyed,bills', '--messages', 'messages.ndjson'],
      ['orders.paid billing', 'orders.placed shipping'],
    ],
    ...(isFull ? [ofTheRun] : []),
  ] as const)(
    'proves its channels with %s, in topics and groups that it removes',
    { timeout: 240_000 },
    async (_who, args, pairs) => {
      const { folder, client, admin } = await shop()
      const { code, stdout, stderr } = await runWaybill(
        ['prove', ...args, '--faults', 'kill', '--seconds', '45', '--json'],
        { cwd: folder },
      )
      const report = JSON.parse(stdout) as { readonly rows: readonly Row[] }
      expect(
        report.rows.filter(({ verdict }) => verdict === 'invalid'),
        stderr,
      ).toEqual([])
      expect(code).not.toBe(2)
      const calm = report.rows.filter(({ fault }) => fault === 'none')
      expect(calm.map(({ messages }) => messages > 0)).toEqual(pairs.map(() => true))
      expect(stderr).toContain('Transport "kafka": Its groups use Kafka\'s classic protocol there')
      const seen = new Set(report.rows.map(({ channel, consumer }) => `${channel} ${consumer}`))
      expect([...seen].toSorted()).toEqual(pairs)
      expect(await atKafka(admin)).toEqual([])
      const { rows } = await client.query(
        `select (select count(*) from keyed)::int as keyed, (select count(*) from bills)::int as bills,
         array(select nspname::text from pg_namespace where nspname !~ '^pg_' and nspname not in ('public', 'information_schema')) as schemas`,
      )
      expect(rows).toEqual([{ keyed: 0, bills: 0, schemas: [] }])
    },
  )
})
