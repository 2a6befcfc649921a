import { once } from 'node:events'
import { Worker } from 'node:worker_threads'
import pg from 'pg'
import { startPostgres } from '../src/testing/postgres-server.ts'
import { compare, type Contender, type Figure } from './measure.ts'
import type { BenchContext } from './main.ts'

/** The first bars: the relay's drain against a bare delete loop, and what publishing adds to a business transaction. */
export async function spine(context: BenchContext): Promise<readonly Figure[]> {
  await using server = await startPostgres()
  const client = new pg.Client(server.url)
  await client.connect()
  await client.query(
    `create table orders(id bigint generated always as identity primary key, customer text not null, body text not null);
     create table flat(seq bigint generated always as identity primary key, id uuid not null, channel text not null,
       key text, payload bytea not null, content_type text not null, headers jsonb, created_at timestamptz default now())`,
  )
  await client.end()
  const workers: Worker[] = []
  // A thread for each: what the compiler has learned of the driver under one contender is no help, or harm, to the other.
  const contender = (name: string): Contender => {
    const worker = new Worker(new URL('spine-worker.ts', import.meta.url), {
      workerData: { url: server.url, name },
    })
    workers.push(worker)
    return {
      name,
      run: async () => {
        worker.postMessage('run')
        const [rate] = (await once(worker, 'message')) as [number]
        return rate
      },
    }
  }
  const comparisons = [
    { name: 'relay drain / bare delete loop', subject: 'relay', base: 'bare loop', bar: 0.7, aim: 0.95 },
    {
      name: 'transaction with publish / business transaction alone',
      subject: 'with publish',
      base: 'alone',
      bar: 0.7,
      aim: 0.85,
    },
  ]
  const figures: Figure[] = []
  for (const { subject, base, ...rest } of comparisons) {
    const comparison = { ...rest, subject: contender(subject), base: contender(base) }
    figures.push(...(await compare(comparison, context.rounds, context.tell)))
  }
  for (const worker of workers) {
    worker.postMessage('end')
    await once(worker, 'exit')
  }
  return figures
}
