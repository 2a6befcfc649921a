import pg from 'pg'
import { openOutbox } from './relay/outbox.ts'
import type { Mark } from './relay/watched-store.ts'

/** Rows that are there now, to be drained. */
export interface Drain {
  readonly rows: number
  /** Counts of rows to take the time of. */
  readonly marks: readonly number[]
}

export interface DrainAnswer extends Pick<Drain, 'rows'> {
  readonly rate: number
  readonly marks: readonly Mark[]
  /** Resident memory of this process, from start to end. */
  readonly rssBytes: readonly number[]
}

const lookEveryMs = 50

const pool = new pg.Pool({ connectionString: process.argv[2], max: 2, pipeline: true })
const outbox = await openOutbox({ pool })

process.on('message', (drain: Drain) => void run(drain))
process.send?.('ready')

async function run({ rows, marks }: Drain): Promise<void> {
  const rssBytes: number[] = []
  const looking = setInterval(() => rssBytes.push(process.memoryUsage.rss()), lookEveryMs)
  const drained = outbox.drained(rows, marks)
  await outbox.waybill.start()
  const { rate, marks: passed } = await drained
  clearInterval(looking)
  await outbox.waybill.stop()
  process.send?.({ rows, rate, marks: passed, rssBytes } satisfies DrainAnswer)
}
