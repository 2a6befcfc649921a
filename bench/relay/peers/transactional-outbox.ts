import { setTimeout } from 'node:timers/promises'
import { until } from '../../../src/testing/until.ts'
import { mustBeEmpty } from '../../fill.ts'
import { importPeer } from '../../peers.ts'
import type { Environment } from '../environment.ts'
import { payload } from '../outbox.ts'

interface Library {
  readonly DatabaseSetupExporter: { createPollingScript(config: object): string }
  getDisabledLogger(): object
  initializePollingMessageListener(
    config: object,
    handler: { handle(): Promise<void> },
    logger: object,
    strategies: object,
  ): readonly [() => Promise<void>]
}

const batchSize = 100

/**
 * The next batch when the last is done. Its own strategy fills up as soon as one message is done: each look for it goes through all
 * that wait, and fails for a while where it meets a message that is just being marked.
 */
async function nextBatch(underway: number): Promise<number> {
  if (underway === 0) return batchSize
  await setTimeout(1)
  return underway
}

/** The clock starts at the first message handled, and stops when none waits. Messages may run side by side, the fastest it has. */
export async function drainByTransactionalOutbox(
  environment: Environment,
  messages: number,
): Promise<{ readonly rate: number }> {
  const library = await importPeer<Library>('pg-transactional-outbox')
  const { pool } = environment
  const place = { dbSchema: 'public', dbTable: 'peer_outbox' }
  const waiting = 'peer_outbox where processed_at is null'
  await pool.query(
    library.DatabaseSetupExporter.createPollingScript({
      outboxOrInbox: 'outbox',
      database: 'postgres',
      schema: place.dbSchema,
      table: place.dbTable,
      listenerRole: 'postgres',
      nextMessagesName: 'next_outbox_messages',
    }),
  )
  await pool.query(
    `insert into peer_outbox(id, aggregate_type, aggregate_id, message_type, concurrency, payload)
     select gen_random_uuid(), 'order', g::text, 'orders.placed', 'parallel', $2::jsonb from generate_series(1, $1::int) g`,
    [messages, JSON.stringify(payload)],
  )
  await pool.query('vacuum analyze peer_outbox')
  await pool.query('checkpoint')
  let startedAt = 0
  let handled = 0
  const handle = async (): Promise<void> => {
    if (handled === 0) startedAt = performance.now()
    handled += 1
  }
  const connection = { connectionString: environment.url, max: 20 }
  const [shutdown] = library.initializePollingMessageListener(
    {
      outboxOrInbox: 'outbox',
      dbListenerConfig: connection,
      dbHandlerConfig: connection,
      settings: {
        ...place,
        enableMaxAttemptsProtection: false,
        enablePoisonousMessageProtection: false,
        nextMessagesFunctionName: 'next_outbox_messages',
        nextMessagesBatchSize: batchSize,
        nextMessagesPollingIntervalInMs: 10,
      },
    },
    { handle },
    library.getDisabledLogger(),
    { batchSizeStrategy: nextBatch },
  )
  try {
    await until('all messages handled', () => handled >= messages, { everyMs: 1, timeoutMs: 300_000 })
    await until(
      'all messages marked',
      async () => (await pool.query(`select from ${waiting} limit 1`)).rowCount === 0,
    )
    const seconds = (performance.now() - startedAt) / 1000
    await mustBeEmpty(pool, waiting)
    return { rate: messages / seconds }
  } finally {
    await shutdown()
  }
}
