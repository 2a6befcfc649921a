import { randomUUID } from 'node:crypto'
import { createHistogram } from 'node:perf_hooks'
import { parentPort, workerData } from 'node:worker_threads'
import pg from 'pg'
import {
  createWaybill,
  defineChannel,
  type Guarantee,
  many,
  type SettingsOptions,
  type Waybill,
} from '../src/index.ts'
import { kafkaTransport } from '../src/kafka.ts'
import { localTransport } from '../src/local.ts'
import { type PgClient, postgresStore } from '../src/postgres.ts'
import { fill } from './fill.ts'
import type { GuaranteeFigures, Task, WorkerSettings } from './guarantees-tasks.ts'
import { arrived, wireCopies } from './wire.ts'

const payload = { text: 'x'.repeat(488) }
type Payload = typeof payload & { readonly n: number }

const { url, brokers } = workerData as WorkerSettings
const pool = new pg.Pool({ connectionString: url, max: 4, pipeline: true })

parentPort?.on('message', (task: Task | 'end') => {
  if (task === 'end') void pool.end().then(() => parentPort?.close())
  else void run(task).then((answer) => parentPort?.postMessage(answer))
})

async function run(task: Task): Promise<number | GuaranteeFigures> {
  switch (task.type) {
    case 'send':
      return await sendRate(task.guarantee, task.messages)
    case 'drain':
      return await drainRate(task.guarantee, task.messages)
    case 'consume':
      return await consumeRate(task.batchSize, task.messages)
    case 'whole':
      return await whole(task.transport, task.guarantee, task.messages, task.paced)
  }
}

interface Parts {
  readonly transport: 'kafka' | 'local'
  readonly guarantee: Guarantee
  readonly form?: 'inbox'
  readonly settings?: SettingsOptions
  readonly schema?: string
}

function instance({ transport, guarantee, form, settings, schema = 'waybill' }: Parts) {
  const name = `bench-${randomUUID()}`
  const channel = defineChannel<Payload>({
    name,
    guarantee,
    key: ({ n }) => String(n % 1000),
    ...(form === undefined ? {} : { consumers: { bench: form } }),
  })
  const waybill: Waybill<PgClient> = createWaybill<PgClient>(
    {
      store: postgresStore({ pool, schema }),
      transports:
        transport === 'kafka' ? { kafka: kafkaTransport({ brokers }) } : { local: localTransport() },
      channels: [channel],
      logLevel: 'error',
      ...settings,
    },
    {},
  )
  return { waybill, channel, name }
}

const rate = (messages: number, started: number): number => messages / ((performance.now() - started) / 1000)

/** Messages a second that `send()` takes, 500 in a call and four calls at a time. */
async function sendRate(guarantee: 'at-most-once' | 'at-least-once', messages: number): Promise<number> {
  const name = `bench-${randomUUID()}`
  const channel = defineChannel<Payload>({ name, guarantee, outbox: false, key: ({ n }) => String(n % 1000) })
  await using waybill = createWaybill(
    { transports: { kafka: kafkaTransport({ brokers }) }, channels: [channel], logLevel: 'error' },
    {},
  )
  // The topic is made and the connections are there.
  await waybill.send(channel, { ...payload, n: 0 })
  let sent = 0
  const caller = async (): Promise<void> => {
    while (sent < messages) {
      const from = sent
      sent += 500
      await waybill.send(channel, many(Array.from({ length: 500 }, (_, i) => ({ ...payload, n: from + i }))))
    }
  }
  const started = performance.now()
  await Promise.all([caller(), caller(), caller(), caller()])
  const result = rate(messages, started)
  // Without acknowledgement the broker is behind, and would be slower for whoever comes next.
  await arrived(brokers, name, sent + 1)
  return result
}

/** A schema of its own, since partitions are given once; memory for four transactions of ten thousand. */
const drain = { schema: 'drain', settings: { partitions: 4, maxInFlight: 50_000, readLimit: 10_000 } }

/** Messages a second from a full outbox into Kafka; exactly once, ten thousand in a transaction. */
async function drainRate(guarantee: 'at-least-once' | 'exactly-once', messages: number): Promise<number> {
  const { waybill, channel, name } = instance({ transport: 'kafka', guarantee, ...drain })
  await waybill.migrate()
  await pool.query('truncate drain.outbox')
  await waybill.start()
  // The topic is made, and every partition taken over, before the clock runs.
  const first = many(Array.from({ length: 100 }, (_, n) => ({ ...payload, n })))
  await waybill.transaction((tx) => waybill.publish(tx, channel, first))
  await drained(name)
  // In one transaction: the relay that runs sees all of them at once.
  await fill(pool, { schema: drain.schema, channel: name, messages, keys: 1000 })
  const started = performance.now()
  await drained(name)
  const result = rate(messages, started)
  await waybill.stop()
  return result
}

/** Messages a second that a consumer with an inbox handles, so many in one transaction. */
async function consumeRate(batchSize: number, messages: number): Promise<number> {
  await pool.query('create table if not exists effects (n int not null)')
  await pool.query('truncate effects')
  const { waybill, channel, name } = instance({
    transport: 'kafka',
    guarantee: 'exactly-once',
    form: 'inbox',
    settings: { consumerBatchSize: batchSize },
  })
  await waybill.migrate()
  await prefill(name, messages)
  let handled = 0
  let started = 0
  const done = Promise.withResolvers<void>()
  waybill.consume(channel, { consumer: `bench-${randomUUID()}` }, async (message, { tx }) => {
    if (handled === 0) started = performance.now()
    await tx.query({
      name: 'effect',
      text: 'insert into effects (n) values ($1)',
      values: [message.payload.n],
    })
    handled += 1
    if (handled === messages) done.resolve()
  })
  await waybill.start()
  await done.promise
  const result = rate(messages, started)
  await waybill.stop()
  return result
}

/** Orders in transactions of ten, through relay and consumer, to an effect each. */
async function whole(
  transport: 'kafka' | 'local',
  guarantee: Guarantee,
  messages: number,
  paced: number,
): Promise<GuaranteeFigures> {
  await pool.query('create extension if not exists pg_stat_statements')
  await pool.query('create table if not exists effects (n int not null)')
  await pool.query('create table if not exists orders (n int not null)')
  await pool.query('truncate effects, orders')
  const { waybill, channel, name } = instance({ transport, guarantee })
  await waybill.migrate()
  const latencies = createHistogram()
  const committedAt = new Map<number, number>()
  let handled = 0
  let awaited: { readonly count: number; readonly reached: () => void } | undefined
  let isPaced = false
  waybill.consume(
    channel,
    { consumer: `bench-${randomUUID()}`, ...(guarantee === 'effectively-once' ? { idempotent: true } : {}) },
    async (message, { tx }) => {
      await tx.query({
        name: 'effect',
        text: 'insert into effects (n) values ($1)',
        values: [message.payload.n],
      })
      handled += 1
      if (handled === awaited?.count) awaited.reached()
      const at = isPaced ? committedAt.get(message.payload.n) : undefined
      if (at !== undefined) latencies.record(Math.max(1, Math.round((performance.now() - at) * 1000)))
    },
  )
  await waybill.start()
  const place = async (from: number, count: number): Promise<void> => {
    await waybill.transaction(async (tx) => {
      const orders = Array.from({ length: count }, (_, i) => ({ ...payload, n: from + i }))
      void tx.query('insert into orders select generate_series($1::int, $2::int)', [from, from + count - 1])
      void waybill.publish(tx, channel as never, many(orders) as never)
    })
  }
  // At most once may lose none here: nothing fails.
  const until = async (count: number): Promise<void> => {
    if (handled < count) await new Promise<void>((reached) => (awaited = { count, reached }))
  }
  await place(-10, 10)
  await until(10)
  await pool.query('select pg_stat_statements_reset()')
  const started = performance.now()
  for (let n = 0; n < messages; n += 10) await place(n, 10)
  await until(10 + messages)
  const perSecond = rate(messages, started)
  const { rows } = await pool.query<{ calls: string }>(
    `select sum(calls) as calls from pg_stat_statements s join pg_database d on d.oid = s.dbid
     where d.datname = current_database() and query !~* '^(begin|commit|rollback|discard|set |select pg_stat)'`,
  )
  isPaced = true
  for (let i = 0; i < paced; i++) {
    const n = messages + i
    await place(n, 1)
    committedAt.set(n, performance.now())
    await new Promise((resolve) => setTimeout(resolve, 4))
  }
  await until(10 + messages + paced)
  await waybill.stop()
  const copies = transport === 'kafka' ? await wireCopies(brokers, name) : 0
  return {
    perSecond: Math.round(perSecond),
    p50Ms: Math.round(latencies.percentile(50) / 10) / 100,
    p99Ms: Math.round(latencies.percentile(99) / 10) / 100,
    copies,
    statements: Math.round((Number(rows[0]?.calls) / messages) * 1000) / 1000,
  }
}

async function drained(channel: string): Promise<void> {
  for (;;) {
    const { rows } = await pool.query<{ left: boolean }>(
      'select exists (select from drain.outbox where channel = $1) as left',
      [channel],
    )
    if (rows[0]?.left === false) return
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
}

/** The same channel name under another guarantee, so that a topic is full before its consumer starts. */
async function prefill(name: string, messages: number): Promise<void> {
  const channel = defineChannel<Payload>({ name, outbox: false, key: ({ n }) => String(n % 1000) })
  await using sender = createWaybill(
    { transports: { kafka: kafkaTransport({ brokers }) }, channels: [channel], logLevel: 'error' },
    {},
  )
  for (let n = 0; n < messages; n += 500) {
    const count = Math.min(500, messages - n)
    await sender.send(channel, many(Array.from({ length: count }, (_, i) => ({ ...payload, n: n + i }))))
  }
}
