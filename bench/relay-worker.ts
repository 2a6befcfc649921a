import { parentPort, workerData } from 'node:worker_threads'
import pg from 'pg'
import { drainRuns } from './relay/drain.ts'
import type { ContenderSettings, Environment, Runs } from './relay/environment.ts'
import { orderRuns } from './relay/order.ts'
import { publishRuns } from './relay/publish.ts'
import { snapshotRuns } from './relay/snapshot.ts'

const all: Runs = { ...drainRuns, ...publishRuns, ...snapshotRuns, ...orderRuns }

const settings = workerData as ContenderSettings
const pool = new pg.Pool({ connectionString: settings.url, max: 10, pipeline: true })
const environment: Environment = {
  ...settings,
  pool,
  sized: (count) => Math.max(100, Math.round(count * settings.scale)),
}

parentPort?.on('message', (message: 'run' | 'end') => {
  if (message === 'end') void pool.end().then(() => parentPort?.close())
  else void all[settings.name]!(environment).then((readings) => parentPort?.postMessage(readings))
})
