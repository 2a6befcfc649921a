import { Client } from 'pg'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { createWaybill, defineChannel, type SettingsOptions, type Waybill } from '../../src/index.ts'
import { localTransport } from '../../src/local.ts'
import { type PgClient, postgresStore } from '../../src/postgres.ts'
import { startProxy, until } from '../../src/testing.ts'
import { bellChannel } from '../../src/stores/postgres/bell.ts'
import { quoteSchema } from '../../src/stores/postgres/quote.ts'
import { postgresDatabase } from '../setup/servers.ts'

const pinged = defineChannel<{ n: number }>({ name: 'pinged' })

/** Long enough for nobody to wait for it. */
const never = { pollMinMs: 60_000, pollMaxMs: 600_000 }

let url: string
let client: Client
let open: Waybill<PgClient>[] = []

function instance(settings: SettingsOptions = {}, place = url): Waybill<PgClient> {
  const waybill = createWaybill(
    {
      store: postgresStore({ connectionString: place }),
      transports: { local: localTransport() },
      channels: [pinged],
      leaseMs: 600,
      logLevel: 'silent' as const,
      ...settings,
    },
    {},
  )
  open.push(waybill)
  return waybill
}

interface Listener {
  readonly waybill: Waybill<PgClient>
  readonly handled: number[]
}

const hears = (waybill: Waybill<PgClient>): boolean =>
  waybill.status().parts.some((part) => part.kind === 'wake-ups' && part.isListening)

/** A consumer that has read all there is, and listens. */
async function listener(settings: SettingsOptions, place = url): Promise<Listener> {
  const waybill = instance(settings, place)
  const handled: number[] = []
  waybill.consume(pinged, { consumer: 'one' }, async (message) => {
    handled.push(message.payload.n)
  })
  await waybill.start()
  await until('a consumer that holds its partitions', () =>
    waybill.status().parts.some((part) => part.kind === 'relay' && part.relay?.partitions.length === 16),
  )
  if (settings.notify !== 'off') await until('a consumer that listens', () => hears(waybill))
  return { waybill, handled }
}

const ping = (waybill: Waybill<PgClient>, n: number): Promise<unknown> =>
  waybill.transaction((tx) => waybill.publish(tx, pinged, { n }))

beforeEach(async () => {
  open = []
  url = (await postgresDatabase()).url
  client = new Client({ connectionString: url })
  await client.connect()
  await instance().migrate()
})

afterEach(async () => {
  for (const waybill of open) await waybill.stop()
  await client.end()
})

describe('wake-ups between processes', () => {
  it('bring what another process committed to a relay that polls once in ten minutes', async () => {
    const { handled } = await listener(never)
    const publisher = instance()
    for (let n = 1; n <= 3; n++) {
      await ping(publisher, n)
      await until(`message ${n}`, () => handled.includes(n))
    }
    expect(handled).toEqual([1, 2, 3])
  })

  it('are rung outside the transaction of the caller, while it is still open', async () => {
    const publisher = instance()
    const heard: string[] = []
    client.on('notification', ({ payload }) => heard.push(payload!))
    await client.query(`listen ${bellChannel(quoteSchema('waybill'), 'local')}`)
    const caller = new Client({ connectionString: url })
    await caller.connect()
    try {
      await caller.query('begin')
      await publisher.publish(caller, pinged, { n: 1 })
      await until('a hint', () => heard.length > 0)
      expect(heard[0]).toMatch(/ written$/u)
      expect(caller.getTransactionStatus()).toBe('T')
      await caller.query('rollback')
    } finally {
      await caller.end()
    }
  })

  it('are neither rung nor heard where they are off, and polling finds all', async () => {
    const { waybill, handled } = await listener({ notify: 'off', pollMaxMs: 20 })
    await ping(instance({ notify: 'off' }), 1)
    await until('the message', () => handled.includes(1))
    expect(waybill.status().parts.some(({ kind }) => kind === 'wake-ups')).toBe(false)
    const { rows } = await client.query(
      `select application_name as name from pg_stat_activity where datname = current_database()
       and application_name ~ ' (notify|wake-ups)$'`,
    )
    expect(rows).toEqual([])
  })

  it('are heard again after the connection was lost, and what was missed is looked for', async () => {
    const { waybill, handled } = await listener(never)
    const ended = await client.query(
      `select pg_terminate_backend(pid) from pg_stat_activity
       where datname = current_database() and application_name = 'waybill wake-ups'`,
    )
    expect(ended.rowCount).toBe(1)
    await until('a new connection', async () => {
      const { rowCount } = await client.query(
        `select 1 from pg_stat_activity where datname = current_database() and application_name = 'waybill wake-ups'`,
      )
      return rowCount === 1 && hears(waybill)
    })
    await ping(instance(), 1)
    await until('the message', () => handled.includes(1))
  })

  it('cost no more than polling where the listening connection is half-open (F13)', async () => {
    await using proxy = await startProxy({ port: Number(new URL(url).port) })
    const through = new URL(url)
    through.port = String(proxy.port)
    const { waybill, handled } = await listener({ pollMaxMs: 20, statementTimeoutMs: 500 }, through.href)
    await proxy.dropReplies({
      request: (chunk) => chunk.includes('pg_backend_pid() as session'),
      instead: 'silence',
    })
    await ping(instance(), 1)
    await until('the message', () => handled.includes(1))
    await until('a loss that was noticed', () => !hears(waybill))
    await proxy.heal()
    await until('a connection that hears again', () => hears(waybill))
  })
})
