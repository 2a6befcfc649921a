import { parentPort, workerData } from 'node:worker_threads'
import pg from 'pg'
import { backlogRuns } from './relay/backlog.ts'
import { drainRuns } from './relay/drain.ts'
import type { ContenderSettings, Environment, Runs } from './relay/environment.ts'
import { inboxRuns } from './relay/inbox.ts'
import { kafkaRuns } from './relay/kafka.ts'
import { latencyRuns } from './relay/latency.ts'
import { orderRuns } from './relay/order.ts'
import { peerRuns } from './relay/peers/peers.ts'
import { publishRuns } from './relay/publish.ts'
import { snapshotRuns } from './relay/snapshot.ts'
import { wakingRuns } from './relay/waking.ts'
import { walRuns } from './relay/wal.ts'

const all: Runs = {
  ...drainRuns,
  ...publishRuns,
  ...wakingRuns,
  ...snapshotRuns,
  ...orderRuns,
  ...latencyRuns,
  ...inboxRuns,
  ...kafkaRuns,
  ...walRuns,
  ...backlogRuns,
  ...peerRuns,
}

const settings = workerData as ContenderSettings
const pool = new pg.Pool({ connectionString: settings.url, max: 10, pipeline: true })
const environment: Environment = {
  ...settings,
  pool,
  sized: (count) => Math.max(100, Math.round(count * settings.scale)),
}

parentPort?.on('message', () => {
  // A rejection ends the thread, and with it the bench.
  void all[settings.name]!(environment).then((readings) => parentPort?.postMessage(readings))
})
