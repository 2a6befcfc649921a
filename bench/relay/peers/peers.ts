import { drainByRelay } from '../drain.ts'
import type { Runs } from '../environment.ts'
import { drainByGraphileWorker } from './graphile-worker.ts'
import { drainByPgBoss } from './pg-boss.ts'
import { drainByTransactionalOutbox } from './transactional-outbox.ts'

const many = 100_000
/** It looks through all that wait for each batch: with as many as the others it would take minutes. */
const few = 5000

/** The same number of rows for both sides of a ratio, of the same payload, to a handler that does nothing. */
export const peerRuns: Runs = {
  'relay, 100k rows': (environment) => drainByRelay(environment, { keys: 10_000, messages: many }),
  'pg-boss': (environment) => drainByPgBoss(environment, environment.sized(many)),
  'graphile-worker': (environment) => drainByGraphileWorker(environment, environment.sized(many)),
  'relay, 5k rows': (environment) => drainByRelay(environment, { keys: 10_000, messages: few }),
  'pg-transactional-outbox': (environment) => drainByTransactionalOutbox(environment, environment.sized(few)),
}
