import { fileURLToPath } from 'node:url'
import pg from 'pg'
import { createWaybill, defineChannel, defineConfig } from '../src/index.ts'
import { systemClock } from '../src/kernel/clock.ts'
import { postgresStore } from '../src/postgres.ts'
import { type Child, spawnChild } from '../src/testing/child.ts'
import { startPostgres } from '../src/testing/postgres-server.ts'
import { until } from '../src/testing/until.ts'
import type { BenchContext } from './main.ts'
import { type Figure, median } from './measure.ts'
import { noOpTransport } from './no-op-transport.ts'
import { measuredNow, type PerformanceMeasured, write } from './written.ts'

/** Kills, at least: a median and a maximum of fewer would say little. */
const fewestKills = 15

/** Of the medians of the issue: a relay that is killed is noticed in seconds, whatever its lease. */
const medianBarMs = 2000
const maximumBarMs = 5000

/**
 * Two relays with the settings as they come; one is killed with SIGKILL again and again. The time from the kill until a message
 * of each of its partitions, published after the kill, has been sent and deleted by the other.
 */
export async function takeover({ rounds, writes, tell }: BenchContext): Promise<readonly Figure[]> {
  await using postgres = await startPostgres()
  const client = new pg.Client(postgres.url)
  await client.connect()
  await using waybill = createWaybill(
    defineConfig({
      store: postgresStore({ connectionString: postgres.url }),
      transports: { none: noOpTransport() },
      channels: [defineChannel({ name: 'orders.placed', ordered: false })],
      logLevel: 'error',
    }),
    {},
  )
  await waybill.migrate()

  const relays = [startRelay(postgres.url), startRelay(postgres.url)]
  const times: number[] = []
  const kills = Math.max(fewestKills, 3 * rounds)
  for (let round = 1; round <= kills; round++) {
    await until('fair shares of both', async () => (await shares(client)).join() === '8,8')
    const killed = relays.shift()!
    const { rows: held } = await client.query<{ partition: number }>(
      'select p.partition from waybill.partitions p join waybill.relays r on r.id = p.owner where r.pid = $1',
      [killed.pid],
    )
    const partitions = held.map(({ partition }) => partition)
    if (partitions.length !== 8)
      throw new Error(`the relay to be killed holds ${partitions.length} partitions`)
    // The shares became fair just now, by a look around of the one that stays; a kill comes at any time between two of them.
    await systemClock.sleep(1000 * Math.random())
    const started = performance.now()
    process.kill(killed.pid, 'SIGKILL')
    await client.query(
      `insert into waybill.outbox (partition, id, channel, payload)
       select p, gen_random_uuid(), 'orders.placed', '{}' from unnest($1::int[]) p`,
      [partitions],
    )
    await until(
      'the messages of the killed relay',
      async () => {
        const { rows } = await client.query(
          'select 1 from waybill.outbox where partition = any($1::int[]) limit 1',
          [partitions],
        )
        return rows.length === 0
      },
      { everyMs: 5 },
    )
    times.push(Math.round(performance.now() - started))
    tell(`kill ${round} of ${kills}: its partitions moved again after ${times.at(-1)} ms`)
    await killed.exited
    relays.push(startRelay(postgres.url))
  }
  for (const relay of relays) await relay.terminate()
  await client.end()

  const figure = (name: string, value: number, bar: number): Figure => ({
    name: `SIGKILL of one of two relays: its partitions move again, ${name}`,
    value,
    unit: 'ms',
    bar,
    aim: bar / 4,
    better: 'lower',
    runs: times,
  })
  const figures = [
    figure('median', median(times), medianBarMs),
    figure('maximum', Math.max(...times), maximumBarMs),
  ]
  if (writes) write('takeover-measured', { ...measuredNow(rounds), figures } as PerformanceMeasured)
  return figures
}

function startRelay(url: string): Child {
  return spawnChild({
    script: fileURLToPath(new URL('takeover-relay.ts', import.meta.url)),
    env: { BENCH_DATABASE: url },
    onLine: (line) => process.stderr.write(`relay: ${line}\n`),
  })
}

async function shares(client: pg.Client): Promise<readonly number[]> {
  const { rows } = await client.query<{ n: number }>(
    'select count(*)::int as n from waybill.partitions where owner is not null group by owner',
  )
  return rows.map(({ n }) => n)
}
