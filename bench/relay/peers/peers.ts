import { fill, mustBeEmpty } from '../../fill.ts'
import { drainByRelay } from '../drain.ts'
import type { Environment, Runs } from '../environment.ts'
import { channelName, openOutbox } from '../outbox.ts'
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
  'relay, 5k rows': drainFew,
  'pg-transactional-outbox': (environment) => drainByTransactionalOutbox(environment, environment.sized(few)),
}

/** By a relay that runs already: beside so few rows the making of its connections would count. */
async function drainFew(environment: Environment): Promise<{ readonly rate: number }> {
  const { pool, sized } = environment
  await using outbox = await openOutbox(environment)
  await outbox.waybill.start()
  const drain = async (messages: number): Promise<number> => {
    const drained = outbox.drained(messages)
    await fill(pool, { channel: channelName, messages, keys: 10_000 })
    return (await drained).rate
  }
  await drain(sized(1000))
  const rate = await drain(sized(few))
  await mustBeEmpty(pool, 'waybill.outbox')
  return { rate }
}
