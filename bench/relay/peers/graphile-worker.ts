import { until } from '../../../src/testing/until.ts'
import { mustBeEmpty } from '../../fill.ts'
import { importPeer } from '../../peers.ts'
import type { Environment } from '../environment.ts'
import { payload } from '../outbox.ts'

interface Library {
  readonly Logger: new (factory: () => () => void) => object
  readonly runMigrations: (options: object) => Promise<void>
  readonly run: (options: object) => Promise<{ stop(): Promise<void> }>
}

/** What its page on performance calls the fast settings, as of version 0.18. */
const fast = {
  concurrentJobs: 24,
  maxPoolSize: 25,
  localQueue: { size: 500 },
  completeJobBatchDelay: 0,
  failJobBatchDelay: 0,
}

/** The clock starts at the first job, when up to 500 others have been fetched already; it stops when no job is left. */
export async function drainByGraphileWorker(
  environment: Environment,
  messages: number,
): Promise<{ readonly rate: number }> {
  const { Logger, run, runMigrations } = await importPeer<Library>('graphile-worker')
  const { pool } = environment
  const common = { connectionString: environment.url, logger: new Logger(() => () => {}) }
  await pool.query('drop schema if exists graphile_worker cascade')
  await runMigrations({ preset: { worker: common } })
  await pool.query(
    `select count(*) from graphile_worker.add_jobs(array(
       select json_populate_record(null::graphile_worker.job_spec, json_build_object(
         'identifier', 'drain', 'payload', $2::json))
       from generate_series(1, $1::int)))`,
    [messages, JSON.stringify(payload)],
  )
  await pool.query('vacuum analyze graphile_worker._private_jobs')
  await pool.query('checkpoint')
  let startedAt = 0
  let done = 0
  const drain = async (): Promise<void> => {
    if (done === 0) startedAt = performance.now()
    done += 1
  }
  const runner = await run({
    preset: { worker: { ...common, ...fast } },
    taskList: { drain },
    noHandleSignals: true,
  })
  try {
    await until('all jobs handled', () => done >= messages, { everyMs: 1, timeoutMs: 300_000 })
    await until('all jobs completed', () => isEmpty(environment), { everyMs: 1 })
    const seconds = (performance.now() - startedAt) / 1000
    await mustBeEmpty(pool, 'graphile_worker._private_jobs')
    return { rate: messages / seconds }
  } finally {
    await runner.stop()
  }
}

async function isEmpty({ pool }: Environment): Promise<boolean> {
  const { rowCount } = await pool.query('select from graphile_worker._private_jobs limit 1')
  return rowCount === 0
}
