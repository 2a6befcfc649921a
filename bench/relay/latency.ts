import { setTimeout } from 'node:timers/promises'
import pg from 'pg'
import { createWaybill } from '../../src/index.ts'
import { localTransport } from '../../src/local.ts'
import { until } from '../../src/testing/until.ts'
import { type PgClient, postgresStore } from '../../src/postgres.ts'
import { fill } from '../fill.ts'
import { median } from '../measure.ts'
import type { Environment, Runs } from './environment.ts'
import { channelName, openOutbox, orders, payload } from './outbox.ts'

const samples = 120
/** Handled before the first sample: the first messages of each partition run alone, each counted before it runs (O6). */
const lead = 500
/** Long enough for everything of the last message to be over. */
const pauseMs = 20

/**
 * From the moment COMMIT is sent: to the handler's first line, and to the answer of COMMIT alone. Both send the same statements
 * and pause as long, and await each, so that COMMIT travels alone.
 */
export const latencyRuns: Runs = { 'to the handler': toTheHandler, 'to the commit': toTheCommit }

async function toTheHandler(environment: Environment): Promise<{ readonly p50: number }> {
  const { pool } = environment
  await using waybill = createWaybill<PgClient>(
    {
      store: postgresStore({ pool }),
      transports: { local: localTransport() },
      channels: [orders],
      logLevel: 'error',
    },
    {},
  )
  await waybill.migrate()
  await pool.query('truncate waybill.outbox')
  let handled = 0
  let onHandled: ((at: number) => void) | undefined
  waybill.consume(orders, { consumer: 'bench' }, async () => {
    handled += 1
    onHandled?.(performance.now())
  })
  await waybill.start()
  await fill(pool, { channel: channelName, messages: lead, keys: lead })
  await until('all of the lead', () => handled >= lead)
  return await sampled(environment, async (key) => {
    const { promise, resolve } = Promise.withResolvers<number>()
    onHandled = resolve
    let sentAt = 0
    await waybill.transaction(async (tx) => {
      await waybill.publish(tx, orders, payload, { key })
      sentAt = performance.now()
    })
    return (await promise) - sentAt
  })
}

async function toTheCommit(environment: Environment): Promise<{ readonly p50: number }> {
  await using outbox = await openOutbox(environment, { relay: false })
  const client = new pg.Client({ connectionString: environment.url })
  await client.connect()
  try {
    return await sampled(environment, async (key) => {
      await client.query('begin')
      await outbox.waybill.publish(client, orders, payload, { key })
      const sentAt = performance.now()
      await client.query('commit')
      return performance.now() - sentAt
    })
  } finally {
    await client.end()
  }
}

async function sampled(
  environment: Environment,
  sample: (key: string) => Promise<number>,
): Promise<{ readonly p50: number }> {
  const times: number[] = []
  const count = environment.sized(samples)
  for (let i = 0; i < count; i++) {
    times.push(await sample(String(i)))
    await setTimeout(pauseMs)
  }
  return { p50: median(times) }
}
