import type pg from 'pg'
import { mustBeEmpty, mustHave } from '../fill.ts'
import type { Environment, Runs } from './environment.ts'
import { emptyOrders, insertOrder, placeOrder } from './orders.ts'
import { type BenchOutbox, openOutbox, orders, payload } from './outbox.ts'

/** Long enough for some hundred commits on a slow disk. */
const lengthMs = 1500

/**
 * One caller that commits orders in turn. Pipelined, a transaction with its message is as many round trips as one without: none
 * of the three is awaited before COMMIT is sent.
 */
export const publishRuns: Runs = {
  'with publish': (environment) => placeAll(environment, placeOrder),
  alone: (environment) =>
    placeAll(
      environment,
      async ({ waybill }, key) => {
        await waybill.transaction(async (tx) => void tx.query(insertOrder(key)))
      },
      false,
    ),
  'four round trips': async (environment) => {
    const client = await environment.pool.connect()
    try {
      return await placeAll(environment, (outbox, key) => placeAwaited(client, outbox, key))
    } finally {
      client.release()
    }
  },
}

/** As a team writes it that awaits each statement, in a transaction of its own. */
async function placeAwaited(client: pg.PoolClient, { waybill }: BenchOutbox, key: string): Promise<void> {
  await client.query('begin')
  await client.query(insertOrder(key))
  await waybill.publish(client, orders, payload, { key })
  await client.query('commit')
}

async function placeAll(
  environment: Environment,
  place: (outbox: BenchOutbox, key: string) => Promise<void>,
  publishes = true,
): Promise<{ readonly rate: number }> {
  const { pool } = environment
  const endsAfterMs = environment.sized(lengthMs)
  await using outbox = await openOutbox(environment, { relay: false })
  await emptyOrders(pool)
  const started = performance.now()
  let count = 0
  for (; performance.now() - started < endsAfterMs; count++) await place(outbox, String(count % 1000))
  const seconds = (performance.now() - started) / 1000
  await mustHave(pool, 'orders', count)
  if (publishes) await mustHave(pool, 'waybill.outbox', count)
  else await mustBeEmpty(pool, 'waybill.outbox')
  return { rate: count / seconds }
}
