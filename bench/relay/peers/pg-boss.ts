import { mustBeEmpty } from '../../fill.ts'
import { importPeer } from '../../peers.ts'
import type { Environment } from '../environment.ts'
import { payload } from '../outbox.ts'

interface Boss {
  start(): Promise<unknown>
  stop(options: { graceful: boolean }): Promise<void>
  on(event: 'error', listener: (error: Error) => void): unknown
  createQueue(name: string): Promise<void>
  insert(name: string, jobs: readonly { data: object }[]): Promise<unknown>
  fetch(name: string, options: object): Promise<readonly { readonly id: string }[]>
  deleteJob(name: string, ids: readonly string[]): Promise<unknown>
}

interface Library {
  readonly PgBoss: new (options: object) => Boss
}

const queue = 'orders.placed'

/**
 * As its documentation has it for speed: fetch in large batches and delete what is done ("fetch then delete", fewer bytes than to
 * complete it), several at a time, without an order and without its monitors.
 */
const batchSize = 5000
const side = 2

export async function drainByPgBoss(
  environment: Environment,
  messages: number,
): Promise<{ readonly rate: number }> {
  const { PgBoss } = await importPeer<Library>('pg-boss')
  const { pool } = environment
  await pool.query('drop schema if exists pgboss cascade')
  const boss = new PgBoss({ connectionString: environment.url, supervise: false, schedule: false })
  boss.on('error', (error) => {
    throw error
  })
  await boss.start()
  try {
    await boss.createQueue(queue)
    for (let filled = 0; filled < messages; filled += 5000) {
      const count = Math.min(5000, messages - filled)
      await boss.insert(
        queue,
        Array.from({ length: count }, () => ({ data: payload })),
      )
    }
    await pool.query('vacuum analyze pgboss.job_common')
    await pool.query('checkpoint')
    let done = 0
    const work = async (): Promise<void> => {
      for (;;) {
        const jobs = await boss.fetch(queue, { batchSize })
        if (jobs.length === 0) return
        await boss.deleteJob(
          queue,
          jobs.map(({ id }) => id),
        )
        done += jobs.length
      }
    }
    const started = performance.now()
    await Promise.all(Array.from({ length: side }, work))
    const seconds = (performance.now() - started) / 1000
    if (done !== messages) throw new Error(`pg-boss fetched ${done} of ${messages} jobs`)
    await mustBeEmpty(pool, 'pgboss.job')
    return { rate: messages / seconds }
  } finally {
    await boss.stop({ graceful: false })
  }
}
