import { fileURLToPath } from 'node:url'
import { Client } from 'pg'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { createWaybill, defineChannel, defineConfig, type Waybill } from '../../src/index.ts'
import { localTransport } from '../../src/local.ts'
import { postgresStore } from '../../src/postgres.ts'
import { type Child, spawnChild, until } from '../../src/testing.ts'
import { postgresDatabase } from '../setup/servers.ts'

const orders = defineChannel<{ id: string }>({ name: 'orders.placed', guarantee: 'exactly-once' })

let url: string
let client: Client

function instance(): Waybill {
  return createWaybill(
    defineConfig({
      store: postgresStore({ connectionString: url }),
      transports: { local: localTransport() },
      channels: [orders],
      leaseMs: 60_000,
      applicationName: 'inside',
      logLevel: 'silent',
    }),
    {},
  )
}

async function count(from: string): Promise<number> {
  const result = await client.query<{ n: number }>(`select count(*)::int as n from ${from}`)
  return result.rows[0]!.n
}

function service(): Child {
  return spawnChild({
    script: fileURLToPath(new URL('children/service.ts', import.meta.url)),
    env: { SERVICE_DATABASE: url },
  })
}

/** A service in the middle of its one handler. */
async function busyService(): Promise<Child> {
  const child = service()
  await child.waitForLine((line) => line === 'handling a')
  return child
}

beforeEach(async () => {
  url = (await postgresDatabase()).url
  client = new Client({ connectionString: url })
  await client.connect()
  await client.query('create table effects (id text)')
  await using waybill = instance()
  await waybill.migrate()
  await waybill.transaction((tx) => waybill.publish(tx, orders, { id: 'a' }))
})

afterEach(() => client.end())

describe('run', () => {
  it('lets the handler under way end at SIGTERM, gives its leases back, and lets the process end', async () => {
    await using child = await busyService()
    process.kill(child.pid, 'SIGTERM')
    await child.waitForLine((line) => line.includes('once more to stop at once'))
    process.kill(child.pid, 'SIGUSR2')
    expect(await child.exited).toEqual({ code: 0, signal: null })
    expect(child.lines).toContain('ended')
    expect(await count('effects')).toBe(1)
    expect(await count('waybill.outbox')).toBe(0)
    // Nobody has to wait for the end of a lease of a minute.
    expect(await count('waybill.partitions where owner is not null')).toBe(0)
  })

  it('ends at once at the second SIGTERM, with nothing half done, and another takes over', async () => {
    await using child = await busyService()
    process.kill(child.pid, 'SIGTERM')
    await child.waitForLine((line) => line.includes('once more to stop at once'))
    process.kill(child.pid, 'SIGTERM')
    expect(await child.exited).toEqual({ code: 143, signal: null })
    expect(await count('effects')).toBe(0)
    expect(await count('waybill.outbox')).toBe(1)
    await using successor = await busyService()
    process.kill(successor.pid, 'SIGUSR2')
    await until('the drain', async () => (await count('waybill.outbox')) === 0)
    expect(await count('effects')).toBe(1)
  })

  it('ends when its signal aborts', async () => {
    const stop = new AbortController()
    await using waybill = instance()
    const seen = Promise.withResolvers<string>()
    waybill.consume(orders, { consumer: 'shipping' }, ({ payload }) => {
      seen.resolve(payload.id)
    })
    const running = waybill.run(stop.signal)
    expect(await seen.promise).toBe('a')
    stop.abort()
    await running
    expect(waybill.status()).toEqual({ isRunning: false, parts: [] })
  })
})

describe('await using', () => {
  it('stops what runs and closes every connection at the end of its block, and stop may be called before', async () => {
    const connections = `pg_stat_activity where application_name like 'inside%' and datname = current_database()`
    {
      await using waybill = instance()
      const seen = Promise.withResolvers<void>()
      waybill.consume(orders, { consumer: 'shipping' }, () => {
        seen.resolve()
      })
      await waybill.start()
      await seen.promise
      expect(await count(connections)).toBeGreaterThan(0)
      await waybill.stop()
      await waybill.stop()
      await waybill.start()
    }
    // The server forgets a session a moment after its client has closed it.
    await until('the end of all connections', async () => (await count(connections)) === 0)
    expect(await count('waybill.partitions where owner is not null')).toBe(0)
  })
})
