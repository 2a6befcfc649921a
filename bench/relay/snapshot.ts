import pg from 'pg'
import { fill, mustBeEmpty } from '../fill.ts'
import type { Environment, Runs } from './environment.ts'
import { channelName, openOutbox } from './outbox.ts'

const dead = 100_000
const messages = 120_000

/**
 * A relay that has drained 100,000 rows goes on to drain more. Under a snapshot that somebody holds open those rows stay in
 * table and index, dead and not to be cleaned up (P10); without one they are vacuumed.
 */
export const snapshotRuns: Runs = {
  'snapshot held': (environment) => drainTwice(environment, true),
  'no snapshot': (environment) => drainTwice(environment, false),
}

async function drainTwice(environment: Environment, isHeld: boolean): Promise<{ readonly rate: number }> {
  const { pool } = environment
  const [before, count] = [environment.sized(dead), environment.sized(messages)]
  await using outbox = await openOutbox(environment)
  await outbox.waybill.start()
  const holder = new pg.Client({ connectionString: environment.url })
  await holder.connect()
  try {
    if (isHeld) {
      await holder.query('begin isolation level repeatable read')
      await holder.query('select 1')
    }
    const drain = async (rows: number): Promise<number> => {
      const drained = outbox.drained(rows)
      // One transaction: the relay sees all of them at once.
      await fill(pool, { channel: channelName, messages: rows, keys: 10_000 })
      return (await drained).rate
    }
    await drain(before)
    await pool.query('vacuum analyze waybill.outbox')
    await mustHaveDead(pool, isHeld ? before : 0)
    await pool.query('checkpoint')
    const rate = await drain(count)
    await mustBeEmpty(pool, 'waybill.outbox')
    return { rate }
  } finally {
    await holder.end()
  }
}

/** Of the last vacuum: what it could not clean up. */
async function mustHaveDead(pool: pg.Pool, count: number): Promise<void> {
  await pool.query('select pg_stat_force_next_flush()')
  const { rows } = await pool.query<{ n: string }>(
    `select n_dead_tup as n from pg_stat_all_tables where schemaname = 'waybill' and relname = 'outbox'`,
  )
  const found = Number(rows[0]?.n)
  // An estimate of the server's: near enough to tell a hundred thousand from none.
  if (Math.abs(found - count) > Math.max(100, count / 10))
    throw new Error(`the outbox has ${found} dead rows in place of ${count}`)
}
