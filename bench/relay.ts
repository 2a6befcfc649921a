import { once } from 'node:events'
import { Worker } from 'node:worker_threads'
import pg from 'pg'
import { withDeadline } from '../src/kernel/deadline.ts'
import { findJavaAndMaven } from '../src/testing/kafka-jars.ts'
import { startKafka } from '../src/testing/kafka-server.ts'
import { startPostgres, type PostgresServer } from '../src/testing/postgres-server.ts'
import type { BenchContext } from './main.ts'
import { type Contender, type Figure, measure, type Readings } from './measure.ts'
import type { ContenderSettings } from './relay/environment.ts'
import { installPeers } from './peers.ts'
import { type Plan, plans } from './relay/table.ts'
import { measuredNow, type PerformanceMeasured, write } from './written.ts'

/** Rounds for which the seconds of a plan are meant. */
const usualRounds = 5

/** One that takes longer hangs. */
const longestRunMs = 300_000

/** As a server of one's own is set up, and nothing in the middle of a measurement that only some rounds would meet. */
const serverSettings = {
  wal_level: 'replica',
  shared_buffers: '512MB',
  max_wal_size: '16GB',
  checkpoint_timeout: '1h',
}

/** What the relay costs, in ratios to what the machine can do and to what others do with it. */
export async function relay(context: BenchContext): Promise<readonly Figure[]> {
  await using server = await startPostgres({ settings: serverSettings })
  const figures: Figure[] = []
  for (const plan of chosen(context.only)) {
    await using needed = await provide(plan.needs, context)
    figures.push(...(await run(plan, server, needed, context)))
  }
  if (context.writes)
    write('performance-measured', { ...measuredNow(context.rounds), figures } as PerformanceMeasured)
  return figures
}

/** What a plan needs besides PostgreSQL, for as long as it runs; or why it is not there. */
interface Needed extends AsyncDisposable {
  readonly brokers: readonly string[]
  readonly excuse?: string
}

async function provide(needs: Plan['needs'], { tell }: BenchContext): Promise<Needed> {
  const nothing = { brokers: [], [Symbol.asyncDispose]: async () => {} }
  if (needs === 'peers') {
    const excuse = await installPeers(tell)
    return excuse === undefined ? nothing : { ...nothing, excuse }
  }
  if (needs !== 'kafka') return nothing
  const { isAvailable, hint } = findJavaAndMaven()
  if (!isAvailable) return { ...nothing, excuse: `Kafka cannot run here (${hint})` }
  const kafka = await startKafka()
  return { brokers: kafka.brokers, [Symbol.asyncDispose]: () => kafka.stop() }
}

export const relayGroups: readonly string[] = plans.map(({ name }) => name)

function chosen(only: readonly string[] | undefined): readonly Plan[] {
  return only === undefined ? plans : plans.filter(({ name }) => only.includes(name))
}

async function run(
  plan: Plan,
  server: PostgresServer,
  needed: Needed,
  context: BenchContext,
): Promise<readonly Figure[]> {
  await using hosts = await hostsOf(plan, server, needed, context)
  const rounds = Math.min(context.rounds * (plan.roundsForOne ?? 1), plan.mostRounds ?? Infinity)
  const limitMs = plan.seconds * 1000 * Math.max(1, context.rounds / usualRounds)
  return await measure({ ...plan, contenders: hosts.contenders, rounds, limitMs }, context.tell)
}

interface Hosts extends AsyncDisposable {
  readonly contenders: readonly Contender[]
}

/** A thread for each: what the compiler learned of the driver under one contender is no help, or harm, to the other. */
async function hostsOf(
  { name: plan, contenders: names }: Plan,
  server: PostgresServer,
  { brokers, excuse }: Needed,
  { scale }: BenchContext,
): Promise<Hosts> {
  const workers: Worker[] = []
  const databases: string[] = []
  const contenders: Contender[] = []
  for (const name of names) {
    if (excuse !== undefined) {
      contenders.push({ name, run: async () => excuse })
      continue
    }
    const database = `${plan} ${name}`.replaceAll(/[^\da-z]+/gu, '_')
    databases.push(database)
    const settings: ContenderSettings = {
      url: await server.createDatabase(database),
      brokers,
      name,
      scale,
    }
    const worker = new Worker(new URL('relay-worker.ts', import.meta.url), { workerData: settings })
    workers.push(worker)
    contenders.push({ name, run: () => ask(worker) })
  }
  return {
    contenders,
    async [Symbol.asyncDispose]() {
      for (const worker of workers) await worker.terminate()
      // What one group leaves behind is not vacuumed, or checkpointed, on the next one's time.
      const client = new pg.Client({ connectionString: server.url })
      await client.connect()
      for (const database of databases) await client.query(`drop database "${database}" with (force)`)
      await client.query('checkpoint')
      await client.end()
    },
  }
}

async function ask(worker: Worker): Promise<Readings | string> {
  const answered = once(worker, 'message')
  worker.postMessage('run')
  const [answer] = (await withDeadline(answered, longestRunMs, 'a contender')) as [Readings | string]
  return answer
}
