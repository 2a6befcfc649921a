import { Client } from 'pg'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { createWaybill, defineChannel, defineConfig, many, type Waybill } from '../../src/index.ts'
import { localTransport } from '../../src/local.ts'
import { type PgClient, postgresStore } from '../../src/postgres.ts'
import { until } from '../../src/testing.ts'
import { postgresDatabase } from '../setup/servers.ts'

const reminders = defineChannel<{ n: number }>({ name: 'reminders' })
const views = defineChannel<{ n: number }>({ name: 'views', guarantee: 'at-most-once' })

let url: string
let client: Client
const open: Waybill<PgClient>[] = []

function instance(): Waybill<PgClient> {
  const waybill = createWaybill(
    defineConfig({
      store: postgresStore({ connectionString: url }),
      transports: { local: localTransport() },
      channels: [reminders, views],
      leaseMs: 2000,
      pollMaxMs: 60_000,
      retryInitialMs: 10,
      retryMaxMs: 20,
      logLevel: 'silent',
    }),
    {},
  )
  open.push(waybill)
  return waybill
}

/** Notes what each consumer got, and whether its time had come by the clock of the database. */
function consume(waybill: Waybill<PgClient>, channel: typeof reminders, consumer: string): void {
  waybill.consume(channel, { consumer }, async ({ id, payload }, { tx }) => {
    await tx.query(
      `insert into effects (consumer, n, is_due) values ($1, $2, clock_timestamp() >= (
        select max(not_before) from times where id = $3))`,
      [consumer, payload.n, id],
    )
  })
}

/** The rows' times go with them, so they are kept. */
async function keepTimes(): Promise<void> {
  await client.query('insert into times select id, not_before from waybill.outbox on conflict do nothing')
}

async function effects(): Promise<unknown[]> {
  const { rows } = await client.query('select consumer, n, is_due from effects order by consumer, n')
  return rows
}

beforeEach(async () => {
  url = (await postgresDatabase()).url
  client = new Client({ connectionString: url })
  await client.connect()
  await client.query('create table effects (consumer text, n int, is_due boolean)')
  await client.query('create table times (id uuid primary key, not_before timestamptz)')
  await instance().migrate()
})

afterEach(async () => {
  for (const waybill of open.splice(0)) await waybill.stop()
  await client.end()
})

describe('delayed messages', () => {
  it('are handled once by each consumer when they are due, and wake the relay whatever the poll interval', async () => {
    const waybill = instance()
    for (const consumer of ['one', 'two']) consume(waybill, reminders, consumer)
    await waybill.start()
    await waybill.transaction(async (tx) => {
      await waybill.publish(tx, reminders, { n: 1 }, { delayMs: 1500 })
      await waybill.publish(tx, reminders, many([{ n: 2 }, { n: 3 }]), { delayMs: 1000 })
    })
    await keepTimes()
    await until('all of them', async () => (await effects()).length === 6)
    expect(await effects()).toEqual(
      ['one', 'two'].flatMap((consumer) => [1, 2, 3].map((n) => ({ consumer, n, is_due: true }))),
    )
  })

  it('survive a restart while they wait, also at most once, and one that is past is not delayed', async () => {
    const first = instance()
    for (const channel of [reminders, views]) consume(first, channel, `of-${channel.name}`)
    await first.start()
    await first.transaction(async (tx) => {
      for (const channel of [reminders, views]) await first.publish(tx, channel, { n: 1 }, { delayMs: 2000 })
    })
    await keepTimes()
    await first.stop()
    expect(await effects()).toEqual([])
    const second = instance()
    for (const channel of [reminders, views]) consume(second, channel, `of-${channel.name}`)
    await second.start()
    await second.transaction((tx) => second.publish(tx, reminders, { n: 2 }, { notBefore: new Date(0) }))
    await until('all of them', async () => (await effects()).length === 3)
    expect(await effects()).toMatchObject([
      { consumer: 'of-reminders', n: 1, is_due: true },
      { consumer: 'of-reminders', n: 2 },
      { consumer: 'of-views', n: 1, is_due: true },
    ])
  })

  it('that fail when they are due are tried again by their line', async () => {
    const waybill = instance()
    let failures = 0
    waybill.consume(reminders, { consumer: 'one' }, async ({ payload }, { tx, attempt }) => {
      if (attempt < 3) throw new Error(`not yet: ${(failures += 1)}`)
      await tx.query('insert into effects values ($1, $2)', ['one', payload.n])
    })
    await waybill.start()
    await waybill.transaction((tx) => waybill.publish(tx, reminders, { n: 1 }, { delayMs: 500 }))
    await until('its effect', async () => (await effects()).length === 1)
    expect(failures).toBe(2)
  })
})
