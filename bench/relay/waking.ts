import { fileURLToPath } from 'node:url'
import { spawnChild } from '../../src/testing/child.ts'
import { until } from '../../src/testing/until.ts'
import { mustHave } from '../fill.ts'
import type { Environment, Runs } from './environment.ts'
import { openOutbox } from './outbox.ts'
import { emptyOrders, placeOrder } from './orders.ts'

const lengthMs = 2000
const writers = 8

/**
 * Eight writers that commit side by side, and a relay of another process that sends meanwhile: with wake-ups this process rings for
 * it, without them it polls.
 */
export const wakingRuns: Runs = {
  'wake-ups on': (environment) => write(environment, 'on'),
  'wake-ups off': (environment) => write(environment, 'off'),
}

async function write(environment: Environment, notify: 'on' | 'off'): Promise<{ readonly rate: number }> {
  const { pool, url, sized } = environment
  const script = fileURLToPath(new URL('../waking-worker.ts', import.meta.url))
  // First, and empties the outbox: from then on it is this one's.
  await using outbox = await openOutbox(environment, { relay: false, settings: { notify } })
  await using relay = spawnChild({ script, args: [url, notify], ipc: true })
  await relay.waitForMessage((message) => message === 'ready')
  await emptyOrders(pool)
  const endsAfterMs = sized(lengthMs)
  const started = performance.now()
  let count = 0
  const one = async (): Promise<void> => {
    while (performance.now() - started < endsAfterMs) {
      count += 1
      await placeOrder(outbox, String(count % 1000))
    }
  }
  await Promise.all(Array.from({ length: writers }, one))
  const seconds = (performance.now() - started) / 1000
  await mustHave(pool, 'orders', count)
  await until('an empty outbox', async () => {
    const { rowCount } = await pool.query('select from waybill.outbox limit 1')
    return rowCount === 0
  })
  return { rate: count / seconds }
}
