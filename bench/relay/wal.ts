import type pg from 'pg'
import { fill, mustBeEmpty } from '../fill.ts'
import type { Runs } from './environment.ts'
import { channelName, openOutbox } from './outbox.ts'

const messages = 120_000

/**
 * What the write-ahead log grows by while a relay drains, leases and all, for each message. The checkpoint comes before the rows: the
 * first change of a page after one logs the whole page, which is the checkpoint's cost and not the relay's.
 */
export const walRuns: Runs = {
  'relay, its WAL': async (environment) => {
    const { pool } = environment
    const count = environment.sized(messages)
    await using outbox = await openOutbox(environment)
    await pool.query('checkpoint')
    await fill(pool, { channel: channelName, messages: count, keys: 10_000 })
    await pool.query('analyze waybill.outbox')
    const start = await position(pool)
    const drained = outbox.drained(count)
    await outbox.waybill.start()
    const { rate } = await drained
    const end = await position(pool)
    await mustBeEmpty(pool, 'waybill.outbox')
    await pool.query('vacuum waybill.outbox')
    const cleaned = await position(pool)
    return {
      rate,
      'bytes a message': (end - start) / count,
      'with vacuum': (cleaned - start) / count,
    }
  },
}

async function position(pool: pg.Pool): Promise<number> {
  const { rows } = await pool.query<{ at: string }>(`select pg_current_wal_insert_lsn() - '0/0' as at`)
  return Number(rows[0]?.at)
}
