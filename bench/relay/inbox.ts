import { randomUUID } from 'node:crypto'
import pg from 'pg'
import { withDeadline } from '../../src/kernel/deadline.ts'
import { createWaybill, defineChannel } from '../../src/index.ts'
import { type PgClient, postgresStore } from '../../src/postgres.ts'
import { mustHave } from '../fill.ts'
import type { Environment, Runs } from './environment.ts'
import { noOpSource } from './no-op-source.ts'
import { channelName, type Payload } from './outbox.ts'

const messages = 60_000
const batch = 1000

/**
 * Messages that come from memory, admitted by the inbox, in transactions of a thousand; and the admission alone, by hand: BEGIN and the
 * insert in one round trip, COMMIT in another, as the consumer sends them. What the consumer does besides is what is asked after:
 * it parses each message, calls its handler, keeps keys in order and settles.
 */
export const inboxRuns: Runs = {
  'batch handler': (environment) => handleAll(environment, true),
  'handler of one': (environment) => handleAll(environment, false),
  'unnest … on conflict': insertAll,
}

/** Handled before the clock starts: a consumer runs the first messages of each stream alone (O6). */
const lead = 4000

async function handleAll(environment: Environment, isBatch: boolean): Promise<{ readonly rate: number }> {
  const { pool } = environment
  const count = environment.sized(messages)
  const channel = defineChannel<Payload>({
    name: channelName,
    guarantee: 'exactly-once',
    ordered: true,
    consumers: { bench: 'inbox' },
  })
  await using waybill = createWaybill<PgClient>(
    {
      store: postgresStore({ pool }),
      transports: { bench: noOpSource(lead + count) },
      channels: [channel],
      relay: false,
      consumerBatchSize: batch,
      logLevel: 'error',
    },
    {},
  )
  await waybill.migrate()
  await emptyInbox(pool)
  let handled = 0
  let startedAt = 0
  let before = 0
  const done = Promise.withResolvers<void>()
  const note = (some: number): void => {
    if (startedAt === 0 && handled >= lead) {
      startedAt = performance.now()
      before = handled
    }
    handled += some
    if (handled === lead + count) done.resolve()
  }
  if (isBatch) waybill.consume(channel, { consumer: 'bench', batch: true }, (some) => note(some.length))
  else waybill.consume(channel, { consumer: 'bench' }, () => note(1))
  await waybill.start()
  await withDeadline(done.promise, 300_000, 'the consumer')
  // Also the last batch's commit and settlement.
  await waybill.stop()
  const seconds = (performance.now() - startedAt) / 1000
  await mustHave(pool, 'waybill.inbox', lead + count)
  return { rate: (lead + count - before) / seconds }
}

async function insertAll(environment: Environment): Promise<{ readonly rate: number }> {
  const { pool } = environment
  const count = environment.sized(messages)
  {
    await using waybill = createWaybill<PgClient>(
      {
        store: postgresStore({ pool }),
        transports: { bench: noOpSource(0) },
        channels: [],
        logLevel: 'error',
      },
      {},
    )
    await waybill.migrate()
  }
  await emptyInbox(pool)
  const ids = Array.from({ length: count }, () => randomUUID())
  const client = new pg.Client({ connectionString: environment.url, pipeline: true })
  await client.connect()
  try {
    const startedAt = performance.now()
    for (let from = 0; from < count; from += batch) {
      const some = ids.slice(from, from + batch)
      const begun = client.query('begin')
      const { rows } = await client.query<{ id: string }>({
        name: 'admit',
        text: `insert into waybill.inbox(consumer, message_id) select 'bench', i from unnest($1::uuid[]) i
          on conflict do nothing returning message_id as id`,
        values: [some],
      })
      await begun
      if (rows.length !== some.length) throw new Error(`${rows.length} of ${some.length} ids were new`)
      await client.query('commit')
    }
    const seconds = (performance.now() - startedAt) / 1000
    await mustHave(pool, 'waybill.inbox', count)
    return { rate: count / seconds }
  } finally {
    await client.end()
  }
}

async function emptyInbox(pool: pg.Pool): Promise<void> {
  await pool.query('truncate waybill.inbox')
  await pool.query('checkpoint')
}
