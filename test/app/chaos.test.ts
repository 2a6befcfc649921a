import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { Client } from 'pg'
import { createWaybill, defineChannel, type Guarantee, many, type Waybill } from '../../src/index.ts'
import { type PgClient, postgresStore } from '../../src/postgres.ts'
import {
  chaosTransport,
  type ChaosOptions,
  type ChaosTransport,
  type HistoryEvent,
  judge,
  effectLedger,
  notVacuous,
  perKeyOrder,
  singleRuns,
  totalQueue,
  until,
} from '../../src/testing.ts'
import { postgresDatabase } from '../setup/servers.ts'

interface Numbered {
  readonly key: string
  readonly seq: number
}

const [keys, perKey] = [8, 20]

let url: string
let client: Client

beforeEach(async () => {
  ;({ url } = await postgresDatabase())
  client = new Client({ connectionString: url })
  await client.connect()
  await client.query(`
    create table runs (number bigint generated always as identity, id uuid not null);
    create table effects (number bigint generated always as identity, id uuid not null, key text not null, seq int not null,
      idempotency_key text unique)`)
})

afterEach(async () => {
  await client.end()
})

interface Choice {
  readonly guarantee: Guarantee
  readonly ordered?: boolean
  readonly form?: 'inbox' | 'checkpoint'
}

/** A relay and a consumer over such a broker, whose handler adds a row for each run. */
async function service(
  transport: ChaosTransport,
  { guarantee, ordered = true, form }: Choice,
): Promise<{ readonly waybill: Waybill<PgClient>; readonly publish: () => Promise<HistoryEvent[]> }> {
  const channel = defineChannel<Numbered>({ name: 'numbers', guarantee, key: ({ key }) => key, ordered })
  const waybill = createWaybill<PgClient>(
    {
      store: postgresStore({ connectionString: url }),
      transports: { chaos: transport },
      channels: [channel],
      pollMaxMs: 20,
      logLevel: 'silent',
    },
    {},
  )
  const isIdempotent = guarantee === 'effectively-once'
  const options = { consumer: 'adder', idempotent: isIdempotent, ...(form === undefined ? {} : { form }) }
  waybill.consume(channel, options, async ({ id, payload: { key, seq } }, { tx, idempotencyKey }) => {
    await client.query('insert into runs (id) values ($1)', [id])
    await tx.query(
      'insert into effects (id, key, seq, idempotency_key) values ($1, $2, $3, $4) on conflict (idempotency_key) do nothing',
      [id, key, seq, isIdempotent ? idempotencyKey : null],
    )
  })
  const publish = async (): Promise<HistoryEvent[]> => {
    const events: HistoryEvent[] = []
    for (let seq = 1; seq <= perKey; seq++) {
      const batch = Array.from({ length: keys }, (_, i) => ({ key: `k${i}`, seq }))
      const ids = await waybill.transaction((tx) => waybill.publish(tx, channel, many(batch)))
      for (const [i, { key }] of batch.entries()) {
        const common = { process: 'test', f: 'write', key, seq, id: ids[i]!, t: events.length } as const
        events.push({ ...common, type: 'invoke' }, { ...common, type: 'ok' })
      }
    }
    return events
  }
  return { waybill, publish }
}

/** Everything that came of it, when nothing is under way any more. */
async function played(transport: ChaosTransport, choice: Choice): Promise<readonly HistoryEvent[]> {
  const { waybill, publish } = await service(transport, choice)
  await using _closing = waybill
  await waybill.migrate()
  await waybill.start()
  const events = await publish()
  await transport.untilQuiet(waybill)
  const isOver = async (): Promise<boolean> => {
    const { rows } = await client.query<{ left: number; done: number }>(
      `select (select count(*) from waybill.outbox)::int + (select count(*) from waybill.taken)::int as left,
         (select count(distinct id) from effects)::int as done`,
    )
    return rows[0]!.left === 0 && transport.isQuiet && rows[0]!.done === keys * perKey
  }
  // What is settled before its handler runs is not over then.
  if (choice.guarantee === 'at-most-once') await until('the last handlers', isOver)
  else expect(await isOver()).toBe(true)
  const add = (type: HistoryEvent['type'], f: HistoryEvent['f'], row: Record<string, unknown>): void => {
    const { id, key = null, seq = null } = row as { id: string; key?: string; seq?: number }
    events.push({ process: 'database', type, f, id, key, seq, t: events.length })
  }
  for (const row of (await client.query('select id from runs order by number')).rows)
    add('invoke', 'handle', row)
  for (const row of (await client.query('select * from effects order by number')).rows) {
    add('ok', 'handle', row)
    add('ok', 'effect', row)
  }
  return events
}

function resultsOf(history: readonly HistoryEvent[], transport: ChaosTransport) {
  const { copies, overtaking } = transport.counts
  const sometimes = { overtaking: overtaking > 0, copies: copies > 0 || transport.capabilities.dispatches }
  const limits = { minCommitted: keys * perKey, isDrained: true, pending: 0, sometimes }
  return [totalQueue(history), effectLedger(history), notVacuous(history, limits)]
}

describe('over a broker that duplicates, delays and reorders (F26)', () => {
  it.each<Choice>([{ guarantee: 'exactly-once' }, { guarantee: 'effectively-once' }])(
    '$guarantee has each effect once, and keys keep their order',
    async (choice) => {
      const transport = chaosTransport()
      const history = await played(transport, choice)
      const results = [...resultsOf(history, transport), perKeyOrder(history)]
      expect(judge(results, choice.guarantee), `seed ${transport.seed}`).toEqual({
        verdict: 'valid',
        anomalies: [],
      })
    },
  )

  it('exactly-once has each effect once where there is no order', async () => {
    const transport = chaosTransport({ keepsOrder: false })
    const history = await played(transport, { guarantee: 'exactly-once', ordered: false })
    expect(judge(resultsOf(history, transport), 'exactly-once'), `seed ${transport.seed}`).toMatchObject({
      verdict: 'valid',
    })
    expect(perKeyOrder(history).anomalies.length).toBeGreaterThan(0)
  })

  it('at-least-once loses nothing, and has effects again', async () => {
    const transport = chaosTransport()
    const history = await played(transport, { guarantee: 'at-least-once' })
    const results = resultsOf(history, transport)
    expect(judge(results, 'at-least-once'), `seed ${transport.seed}`).toMatchObject({ verdict: 'valid' })
    expect(effectLedger(history).anomalies.map(({ kind }) => kind)).toContain('duplicated')
  })

  it('at-most-once runs no handler twice where the broker makes no copies', async () => {
    const transport = chaosTransport({ duplicates: 0 })
    const history = await played(transport, { guarantee: 'at-most-once' })
    const results = [...resultsOf(history, transport), singleRuns(history)]
    expect(judge(results, 'none'), `seed ${transport.seed}`).toEqual({ verdict: 'valid', anomalies: [] })
  })

  it('has each effect once where a second instance takes over, and the first again at its end', async () => {
    const transport = chaosTransport()
    const first = await service(transport, { guarantee: 'exactly-once' })
    const second = await service(transport, { guarantee: 'exactly-once' })
    await using waybill = first.waybill
    await waybill.migrate()
    await waybill.start()
    const events = await first.publish()
    await second.waybill.start()
    events.push(...(await first.publish()))
    await second.waybill[Symbol.asyncDispose]()
    events.push(...(await first.publish()))
    await transport.untilQuiet(waybill)
    const { rows } = await client.query<{ all: number; different: number }>(
      'select count(*)::int as all, count(distinct id)::int as different from effects',
    )
    const count = new Set(events.map(({ id }) => id)).size
    expect(rows, `seed ${transport.seed}`).toEqual([{ all: count, different: count }])
  })

  it.each<[string, Choice, ChaosOptions]>([
    ['at-most-once, where it makes copies', { guarantee: 'at-most-once' }, {}],
    ['order, where it keeps none', { guarantee: 'exactly-once' }, { keepsOrder: false }],
    ['a checkpoint, which knows no copy again', { guarantee: 'exactly-once', form: 'checkpoint' }, {}],
  ])('refuses %s', async (_what, choice, options) => {
    const { waybill } = await service(chaosTransport(options), choice)
    await using _closing = waybill
    await waybill.migrate()
    await expect(waybill.start()).rejects.toMatchObject({ code: 'WB_GUARANTEE_UNSUPPORTED' })
  })
})
