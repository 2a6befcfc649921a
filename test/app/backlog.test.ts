import { Client } from 'pg'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import {
  createWaybill,
  defineChannel,
  defineConfig,
  isWaybillError,
  many,
  type Waybill,
} from '../../src/index.ts'
import { localTransport } from '../../src/local.ts'
import { type PgClient, postgresStore } from '../../src/postgres.ts'
import { until } from '../../src/testing.ts'
import { postgresDatabase } from '../setup/servers.ts'

const limited = defineChannel<{ n: number }>({ name: 'limited', maxPending: 20 })
const free = defineChannel<{ n: number }>({ name: 'free' })

let url: string
let client: Client
const open: Waybill<PgClient>[] = []

function instance(channels = [limited, free]): Waybill<PgClient> {
  const waybill = createWaybill(
    defineConfig({
      store: postgresStore({ connectionString: url }),
      transports: { local: localTransport() },
      channels,
      leaseMs: 2000,
      pollMaxMs: 20,
      logLevel: 'silent',
    }),
    {},
  )
  open.push(waybill)
  return waybill
}

const place = (waybill: Waybill<PgClient>, channel: typeof limited, count: number): Promise<unknown> =>
  waybill.transaction((tx) =>
    waybill.publish(tx, channel, many(Array.from({ length: count }, (_, n) => ({ n })))),
  )

/** What the instance knows of the backlog, as soon as that is so. */
const untilPending = (waybill: Waybill<PgClient>, pending: number): Promise<unknown> =>
  until(`a backlog of ${pending}`, async () =>
    waybill.status().parts.some((part) => part.kind === 'backlog' && part.channels[0]?.pending === pending),
  )

async function stored(): Promise<number> {
  const { rows } = await client.query<{ n: number }>('select count(*)::int as n from waybill.outbox')
  return rows[0]!.n
}

beforeEach(async () => {
  url = (await postgresDatabase()).url
  client = new Client({ connectionString: url })
  await client.connect()
  await instance().migrate()
})

afterEach(async () => {
  for (const waybill of open.splice(0)) await waybill.stop()
  await client.end()
})

describe('a channel with maxPending', () => {
  it('is refused while too many messages wait, changes nothing, and takes them again when they are delivered', async () => {
    const waybill = instance()
    let gate = Promise.withResolvers<void>()
    for (const consumer of ['fast', 'slow'])
      waybill.consume(limited, { consumer }, async () =>
        consumer === 'slow' ? await gate.promise : undefined,
      )
    await waybill.start()
    await place(waybill, limited, 20)
    // The fast one has all of them; they wait all the same, because the slow one lacks them.
    await untilPending(waybill, 20)
    const error = await place(waybill, limited, 1).catch((thrown: unknown) => thrown)
    expect(isWaybillError(error)).toBe(true)
    expect(error).toMatchObject({ code: 'WB_BACKLOG_FULL', retryable: 'yes' })
    expect(await stored()).toBe(20)
    // The transaction that was refused can go on without it.
    await client.query('begin')
    await expect(waybill.publish(client, limited, { n: 1 })).rejects.toMatchObject({
      code: 'WB_BACKLOG_FULL',
    })
    await client.query('select 1')
    await client.query('commit')
    await place(waybill, free, 1)
    gate.resolve()
    await untilPending(waybill, 0)
    await place(waybill, limited, 1)
    gate = Promise.withResolvers()
  })

  it('makes send() wait for room, as for anything that may pass', async () => {
    const waybill = instance()
    await place(waybill, limited, 20)
    await untilPending(waybill, 20)
    const sending = waybill.send(limited, { n: 21 })
    await client.query('delete from waybill.outbox')
    await sending
    expect(await stored()).toBe(1)
  })

  it('does not count what is delayed, nor other channels, nor more than its limit', async () => {
    const waybill = instance()
    await waybill.transaction((tx) => waybill.publish(tx, limited, { n: 0 }, { delayMs: 3_600_000 }))
    await place(waybill, free, 50)
    await place(waybill, limited, 7)
    await untilPending(waybill, 7)
    await client.query(
      `insert into waybill.outbox (partition, id, channel, payload)
       select partition, gen_random_uuid(), channel, payload from waybill.outbox, generate_series(1, 100)`,
    )
    await untilPending(waybill, 20)
  })

  it('refuses nothing where it cannot be counted, and says so in its status', async () => {
    const waybill = instance()
    await place(waybill, limited, 5)
    await untilPending(waybill, 5)
    await client.query('alter table waybill.outbox rename column channel to hidden')
    const status = () => waybill.status().parts.find((part) => part.kind === 'backlog')
    await until('a count that fails', async () => status()?.channels[0]?.error !== undefined)
    expect(status()).toMatchObject({
      channels: [{ channel: 'limited', maxPending: 20, error: 'WB_SCHEMA_MISSING' }],
    })
    await client.query('alter table waybill.outbox rename column hidden to channel')
    await until('a count that works', async () => status()?.channels[0]?.error === undefined)
  })
})
