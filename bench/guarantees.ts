import { once } from 'node:events'
import { Worker } from 'node:worker_threads'
import { guarantees as names } from '../src/guarantees/guarantees.ts'
import { startKafka } from '../src/testing/kafka-server.ts'
import { startPostgres } from '../src/testing/postgres-server.ts'
import type { GuaranteeFigures, GuaranteesMeasured, Task, WorkerSettings } from './guarantees-tasks.ts'
import type { BenchContext } from './main.ts'
import { type Contender, type Figure, type Group, measure, median, ratio } from './measure.ts'
import { measuredNow, write } from './written.ts'

/**
 * The four guarantees on the same work, over Kafka and over `local`: what each costs. And the bars between them. With
 * `--write` the README's table is made from it.
 */
export async function guarantees(context: BenchContext): Promise<readonly Figure[]> {
  await using postgres = await startPostgres({ settings: { shared_preload_libraries: 'pg_stat_statements' } })
  await using kafka = await startKafka()
  const workers: Worker[] = []
  const newWorker = (): Worker => {
    const workerData: WorkerSettings = { url: postgres.url, brokers: kafka.brokers }
    const worker = new Worker(new URL('guarantees-worker.ts', import.meta.url), { workerData })
    workers.push(worker)
    return worker
  }
  // A thread for each: what the compiler learned under one contender is no help, or harm, to the other.
  const contender = (name: string, task: Task): Contender => {
    const worker = newWorker()
    return { name, run: async () => ({ rate: await ask<number>(worker, task) }) }
  }
  const { rounds } = context
  const groups: readonly Group[] = [
    {
      name: 'send()',
      contenders: [
        contender('at most once', { type: 'send', guarantee: 'at-most-once', messages: 40_000 }),
        contender('at least once', { type: 'send', guarantee: 'at-least-once', messages: 40_000 }),
      ],
      rows: [ratio('send() at most once / at least once', 'at most once', 'at least once', 1, 1.2)],
      // Many short ones: the two are nearly as fast as each other.
      rounds: 5 * rounds,
    },
    {
      name: 'relay into Kafka',
      contenders: [
        contender('exactly once', { type: 'drain', guarantee: 'exactly-once', messages: 200_000 }),
        contender('at least once', { type: 'drain', guarantee: 'at-least-once', messages: 200_000 }),
      ],
      rows: [
        ratio('relay into Kafka: exactly once / at least once', 'exactly once', 'at least once', 0.85, 0.95),
      ],
      rounds,
    },
    {
      name: 'inbox consumer',
      contenders: [
        contender('batches', { type: 'consume', batchSize: 100, messages: 20_000 }),
        contender('one each', { type: 'consume', batchSize: 1, messages: 4000 }),
      ],
      rows: [ratio('inbox consumer: batches of 100 / one a transaction', 'batches', 'one each', 7, 10)],
      rounds,
    },
  ]
  const figures: Figure[] = []
  for (const group of groups) figures.push(...(await measure(group, context.tell)))
  figures.push(...(await table(newWorker(), context)))
  for (const worker of workers) {
    worker.postMessage('end')
    await once(worker, 'exit')
  }
  return figures
}

async function table(worker: Worker, { rounds, tell, writes }: BenchContext): Promise<readonly Figure[]> {
  const rows = (['kafka', 'local'] as const).flatMap((transport) =>
    names.map((guarantee) => ({ transport, guarantee, runs: [] as GuaranteeFigures[] })),
  )
  for (let round = 0; round <= rounds; round++) {
    for (const { transport, guarantee, runs } of rows) {
      const run = await ask<GuaranteeFigures>(worker, {
        type: 'whole',
        transport,
        guarantee,
        messages: 10_000,
        paced: 300,
      })
      if (round > 0) runs.push(run)
      tell(`round ${round} of ${rounds}: ${transport}, ${guarantee}: ${run.perSecond}/s`)
    }
  }
  const transports: Record<string, Record<string, GuaranteeFigures>> = {}
  const figures: Figure[] = []
  for (const { transport, guarantee, runs } of rows) {
    const middle = (pick: (run: GuaranteeFigures) => number): number => median(runs.map(pick))
    const row: GuaranteeFigures = {
      perSecond: middle((run) => run.perSecond),
      p50Ms: middle((run) => run.p50Ms),
      p99Ms: middle((run) => run.p99Ms),
      // Not a median: one copy in one run is one too many.
      copies: Math.max(...runs.map((run) => run.copies)),
      statements: middle((run) => run.statements),
    }
    transports[transport] = { ...transports[transport], [guarantee]: row }
    for (const [what, unit] of units) {
      figures.push({
        name: `${transport}, ${guarantee}: ${what}`,
        value: row[what],
        unit,
        bar: what === 'copies' ? 0 : null,
        aim: what === 'copies' ? 0 : null,
        better: what === 'perSecond' ? 'higher' : 'lower',
        runs: runs.map((run) => run[what]),
      })
    }
  }
  const page: GuaranteesMeasured = {
    ...measuredNow(rounds),
    payloadBytes: 500,
    transports: transports as GuaranteesMeasured['transports'],
  }
  if (writes) write('guarantees-measured', page)
  return figures
}

const units = [
  ['perSecond', '1/s'],
  ['p50Ms', 'ms'],
  ['p99Ms', 'ms'],
  ['copies', ''],
  ['statements', 'a message'],
] as const

async function ask<T>(worker: Worker, task: Task): Promise<T> {
  const answered = once(worker, 'message')
  worker.postMessage(task)
  const [answer] = (await answered) as [T]
  return answer
}
