import pg from 'pg'
import { fill, mustBeEmpty, settle } from '../fill.ts'
import type { Environment, Runs } from './environment.ts'
import { deleteText, fillFlat } from './flat.ts'
import { channelName, openOutbox } from './outbox.ts'
import { drainByOwnStatements } from './own-statements.ts'
import { runPgbench } from './pgbench.ts'

const usual = 120_000
const batch = 1000

/**
 * A full outbox, drained to the end. The relay is there before the clock starts, and the clock stops when its last delete is
 * acknowledged. The loops have their table to themselves, in the order of its primary key, and connect before the clock starts.
 */
export const drainRuns: Runs = {
  relay: (environment) => drainByRelay(environment, { keys: 10_000 }),
  'its statements in a loop': (environment) => drainByOwnStatements(environment, usual, batch),
  'bare loop': drainByLoop,
  pgbench: drainByPgbench,
}

export async function drainByRelay(
  environment: Environment,
  {
    keys,
    ordered = true,
    messages = usual,
  }: { readonly keys: number; readonly ordered?: boolean; readonly messages?: number },
): Promise<{ readonly rate: number }> {
  const count = environment.sized(messages)
  await using outbox = await openOutbox(environment, { ordered })
  await fill(environment.pool, { channel: channelName, messages: count, keys })
  await settle(environment.pool, 'waybill.outbox')
  const drained = outbox.drained(count)
  await outbox.waybill.start()
  const { rate } = await drained
  await mustBeEmpty(environment.pool, 'waybill.outbox')
  return { rate }
}

/** Deletes a batch, would send it, commits: what a team writes for itself. */
async function drainByLoop(environment: Environment): Promise<{ readonly rate: number }> {
  const count = environment.sized(usual)
  await fillFlat(environment.pool, count)
  const client = new pg.Client({ connectionString: environment.url })
  await client.connect()
  try {
    const started = performance.now()
    for (let drained = 0; drained < count;) {
      await client.query('begin')
      const { rows } = await client.query({ name: 'drain', text: deleteText(batch) })
      await client.query('commit')
      if (rows.length === 0) throw new Error(`the loop found ${drained} of ${count} rows`)
      drained += rows.length
    }
    const seconds = (performance.now() - started) / 1000
    await mustBeEmpty(environment.pool, 'flat')
    return { rate: count / seconds }
  } finally {
    await client.end()
  }
}

/** The same statement without JavaScript: each is a transaction of its own, and nobody looks at the rows. */
async function drainByPgbench(environment: Environment): Promise<{ readonly rate: number } | string> {
  const count = environment.sized(usual)
  await fillFlat(environment.pool, count)
  const perSecond = await runPgbench(environment.url, deleteText(batch), Math.ceil(count / batch))
  if (typeof perSecond === 'string') return perSecond
  await mustBeEmpty(environment.pool, 'flat')
  return { rate: (perSecond * count) / Math.ceil(count / batch) }
}
