import { defineChannel, defineConfig, type WaybillConfig } from '../src/index.ts'
import { type PgClient, postgresStore } from '../src/postgres.ts'
import { noOpTransport } from './no-op-transport.ts'
import { channelName } from './relay/outbox.ts'
import { type Mark, watchedStore } from './relay/watched-store.ts'

/** Rows that are there now, to be drained. */
export interface Drain {
  readonly url: string
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

const { url, rows, marks } = JSON.parse(process.env['WAYBILL_BENCH_DRAIN'] ?? '{}') as Drain
const store = watchedStore(postgresStore({ connectionString: url }))
void watch()

async function watch(): Promise<void> {
  const rssBytes: number[] = []
  const looking = setInterval(() => rssBytes.push(process.memoryUsage.rss()), lookEveryMs)
  const { rate, marks: passed } = await store.drained(rows, marks)
  clearInterval(looking)
  process.send?.({ rows, rate, marks: passed, rssBytes } satisfies DrainAnswer)
}

/** Of `waybill relay`. */
const config: WaybillConfig<PgClient> = defineConfig({
  store: store.definition,
  transports: { bench: noOpTransport() },
  channels: [defineChannel({ name: channelName, ordered: true, address: channelName })],
  logLevel: 'error',
})
// oxlint-disable-next-line import/no-default-export -- as a configuration file has it
export default config
