import { randomUUID } from 'node:crypto'
import type pg from 'pg'
import { mustBeEmpty, mustHave } from '../fill.ts'
import type { Environment, Runs } from './environment.ts'
import { emptyOrders, insertOrder, placeOrder } from './orders.ts'
import { type BenchOutbox, openOutbox, orders, payload } from './outbox.ts'

/** Short, in many rounds: a disk has slow seconds, and they are to hit all contenders. */
const lengthMs = 500
const warmUps = 50

/**
 * One caller that commits orders in turn. Pipelined, a transaction with its message is as many round trips as one without: none
 * of the three is awaited before COMMIT is sent. By hand, it writes a row as plain as an outbox can have, without order or partitions.
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
  'by hand': async (environment) => {
    await environment.pool.query(handMade)
    return await placeAll(
      environment,
      async ({ waybill }, key) => {
        await waybill.transaction(async (tx) => {
          void tx.query(insertOrder(key))
          void tx.query(insertByHand(key))
        })
      },
      false,
    )
  },
  'four round trips': async (environment) => {
    const client = await environment.pool.connect()
    try {
      return await placeAll(environment, (outbox, key) => placeAwaited(client, outbox, key))
    } finally {
      client.release()
    }
  },
}

const handMade = `
create table if not exists outbox_by_hand(seq bigint generated always as identity primary key, id uuid not null, channel text not null,
  key text, payload bytea not null, created_at timestamptz not null default now());
truncate outbox_by_hand`

function insertByHand(key: string): { name: string; text: string; values: unknown[] } {
  return {
    name: 'by hand',
    text: 'insert into outbox_by_hand(id, channel, key, payload) values ($1, $2, $3, $4)',
    values: [randomUUID(), orders.name, key, Buffer.from(JSON.stringify(payload))],
  }
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
  // An instance that is new looks at its schema, prepares its statements and compiles: once, and a run is short.
  for (let n = 0; n < warmUps; n++) await place(outbox, String(n))
  const started = performance.now()
  let count = warmUps
  for (; performance.now() - started < endsAfterMs; count++) await place(outbox, String(count % 1000))
  const seconds = (performance.now() - started) / 1000
  await mustHave(pool, 'orders', count)
  if (publishes) await mustHave(pool, 'waybill.outbox', count)
  else await mustBeEmpty(pool, 'waybill.outbox')
  return { rate: (count - warmUps) / seconds }
}
