import { parentPort, workerData } from 'node:worker_threads'
import pg from 'pg'
import { createWaybill, defineChannel, defineConfig, type Waybill } from '../src/index.ts'
import { type PgClient, postgresStore } from '../src/postgres.ts'
import { noOpTransport } from './no-op-transport.ts'

const messages = 120_000
const transactions = 3_000
const batch = 1_000
const payload = { text: 'x'.repeat(488) }

const placed = defineChannel<typeof payload & { customer: string }>({
  name: 'orders.placed',
  key: (order) => order.customer,
})

const { url, name } = workerData as { url: string; name: string }
const pool = new pg.Pool({ connectionString: url, max: 4, pipeline: true })
const contenders: Readonly<Record<string, () => Promise<number>>> = {
  relay: () => drainByRelay(pool),
  'bare loop': () => drainBare(pool),
  'with publish': () => withWaybill(pool, publishing),
  alone: () => withWaybill(pool, alone),
}

parentPort?.on('message', (message: 'run' | 'end') => {
  if (message === 'end') void pool.end().then(() => parentPort?.close())
  else void contenders[name]!().then((rate) => parentPort?.postMessage(rate))
})

async function drainByRelay(pool: pg.Pool): Promise<number> {
  const counter = noOpTransport()
  const config = defineConfig({
    store: postgresStore({ pool }),
    transports: { none: counter.definition },
    channels: [placed.via('none')],
    logLevel: 'error',
  })
  await using waybill = createWaybill(config, {})
  await waybill.migrate()
  await pool.query('truncate waybill.outbox')
  await pool.query(
    `insert into waybill.outbox(partition, id, channel, key, payload, content_type, headers)
     select t.first_partition + (hashtextextended('orders.placed' || (g % 10000), 0) & 15)::int, gen_random_uuid(),
       'orders.placed', (g % 10000)::text, convert_to(repeat('x', 480) || g, 'utf8'), 'application/json', '{}'
     from generate_series(1, $1::int) g, waybill.transports t where t.transport = 'none'`,
    [messages],
  )
  await settle(pool, 'waybill.outbox')
  const started = performance.now()
  await waybill.start()
  await counter.reached(messages)
  // Stopping waits for the last deletes, so they are paid for inside the time measured.
  await waybill.stop()
  const seconds = (performance.now() - started) / 1000
  const left = await pool.query<{ n: string }>('select count(*) as n from waybill.outbox')
  if (left.rows[0]?.n !== '0') throw new Error(`the relay left ${left.rows[0]?.n} rows`)
  return messages / seconds
}

async function drainBare(pool: pg.Pool): Promise<number> {
  await pool.query('truncate flat')
  await pool.query(
    `insert into flat(id, channel, key, payload, content_type)
     select gen_random_uuid(), 'orders.placed', (g % 10000)::text, convert_to(repeat('x', 480) || g, 'utf8'),
       'application/json' from generate_series(1, $1::int) g`,
    [messages],
  )
  await settle(pool, 'flat')
  const client = new pg.Client(pool.options)
  await client.connect()
  try {
    const started = performance.now()
    for (;;) {
      await client.query('begin')
      const rows = await client.query({
        name: 'bare',
        text: `delete from flat where ctid = any(array(select ctid from flat order by seq limit ${batch}
          for update skip locked)) returning seq, id, channel, key, payload, content_type, headers, created_at`,
      })
      await client.query('commit')
      if (rows.rows.length === 0) break
    }
    return messages / ((performance.now() - started) / 1000)
  } finally {
    await client.end()
  }
}

async function settle(pool: pg.Pool, table: string): Promise<void> {
  await pool.query(`vacuum analyze ${table}`)
  await pool.query('checkpoint')
}

type Shop = Pick<Waybill<PgClient>, 'transaction' | 'publish'>

async function withWaybill(pool: pg.Pool, order: (shop: Shop, i: number) => Promise<void>): Promise<number> {
  const config = defineConfig({
    store: postgresStore({ pool }),
    transports: { none: noOpTransport().definition },
    channels: [placed.via('none')],
    relay: false,
    logLevel: 'error',
  })
  await using waybill = createWaybill(config, {})
  await waybill.migrate()
  await pool.query('truncate orders; truncate waybill.outbox')
  await pool.query('checkpoint')
  const started = performance.now()
  for (let i = 0; i < transactions; i++) await order(waybill, i)
  return transactions / ((performance.now() - started) / 1000)
}

const insert = { name: 'order', text: 'insert into orders(customer, body) values ($1, $2)' }

async function alone(shop: Shop, i: number): Promise<void> {
  await shop.transaction(async (tx) => {
    void tx.query({ ...insert, values: [String(i % 1000), payload.text] })
  })
}

async function publishing(shop: Shop, i: number): Promise<void> {
  const customer = String(i % 1000)
  await shop.transaction(async (tx) => {
    void tx.query({ ...insert, values: [customer, payload.text] })
    void shop.publish(tx, placed, { ...payload, customer })
  })
}
