import { networkInterfaces } from 'node:os'
import { expect, it } from 'vitest'
import type { Health } from '../../src/monitor/health.ts'
import { createWaybill, defineChannel, type WaybillConfig } from '../../src/index.ts'
import { localTransport } from '../../src/local.ts'
import { silentLogger } from '../../src/kernel/logger.ts'
import { httpMonitor } from '../../src/monitor.ts'
import { postgresStore } from '../../src/postgres.ts'
import { freePort, startProxy, until } from '../../src/testing.ts'
import { postgresDatabase } from '../setup/servers.ts'

const orders = defineChannel<{ id: string; note: string }>({
  name: 'orders.placed',
  key: (order) => order.id,
})
const secret = 'canary-5d1e'

async function configOf(connectionString: string, more: Partial<WaybillConfig> = {}): Promise<WaybillConfig> {
  return {
    store: postgresStore({ connectionString }),
    transports: { local: localTransport() },
    channels: [orders],
    leaseMs: 1000,
    pollMaxMs: 20,
    statementTimeoutMs: 1000,
    monitor: httpMonitor({ healthTimeoutMs: 1500 }),
    httpPort: await freePort(),
    logger: silentLogger,
    ...more,
  }
}

function ask(config: WaybillConfig, path: string, host = '127.0.0.1'): Promise<Response> {
  return fetch(`http://${host}:${config.httpPort}${path}`)
}

async function health(config: WaybillConfig): Promise<{ status: number; unwell: string[]; text: string }> {
  const response = await ask(config, '/healthz')
  const text = await response.text()
  const { components } = JSON.parse(text) as Health
  return {
    status: response.status,
    unwell: components.filter(({ isHealthy }) => !isHealthy).map(({ name }) => name),
    text,
  }
}

it('serves metrics, health and readiness while it runs, on this machine alone, and nothing after it', async () => {
  const config = await configOf((await postgresDatabase()).url)
  const waybill = createWaybill(config, {})
  await waybill.migrate()
  await expect(ask(config, '/metrics')).rejects.toThrow('fetch failed')
  let handled = 0
  waybill.consume(orders, { consumer: 'shipping' }, () => {
    handled += 1
  })
  await waybill.start()
  try {
    await waybill.transaction((tx) => waybill.publish(tx, orders, { id: 'a', note: secret }))
    await until('the message is handled', () => handled === 1)
    const own = 'channel="orders.placed"'
    await until('the metrics tell it', async () => {
      const response = await ask(config, '/metrics')
      expect(response.status).toBe(200)
      expect(response.headers.get('content-type')).toContain('text/plain')
      expect(response.headers.get('cache-control')).toBe('no-store')
      const text = await response.text()
      expect(text).not.toContain('canary')
      return (
        /messaging_client_consumed_messages_total\{.*messaging_destination_name="orders.placed".*\} 1/u.test(
          text,
        ) &&
        text.includes(`waybill_published_messages_total{${own}} 1`) &&
        text.includes(`waybill_outbox_lag_seconds{${own},consumer="shipping"} `) &&
        text.includes('waybill_relay_partitions{transport="local",consumer="shipping"} 16')
      )
    })
    expect(await health(config)).toMatchObject({ status: 200, unwell: [] })
    const ready = await ask(config, '/readyz')
    expect({ status: ready.status, body: await ready.json() }).toEqual({
      status: 200,
      body: { isReady: true },
    })
    expect((await ask(config, '/')).status).toBe(404)
    expect((await fetch(`http://127.0.0.1:${config.httpPort}/metrics`, { method: 'POST' })).status).toBe(404)
    const outside = Object.values(networkInterfaces())
      .flat()
      .find((each) => each !== undefined && !each.internal && each.family === 'IPv4')
    if (outside !== undefined)
      await expect(ask(config, '/metrics', outside.address)).rejects.toThrow('fetch failed')
  } finally {
    await waybill.stop()
  }
  await expect(ask(config, '/healthz')).rejects.toThrow('fetch failed')
})

it('is not ready from the moment it is told to stop, and serves that until the last handler has ended', async () => {
  const { url } = await postgresDatabase()
  const config = await configOf(url)
  await using waybill = createWaybill(config, {})
  await waybill.migrate()
  const [begun, end] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()]
  waybill.consume(orders, { consumer: 'shipping' }, async () => {
    begun.resolve()
    await end.promise
  })
  await waybill.start()
  await waybill.send(orders, { id: 'a', note: secret })
  await begun.promise
  expect((await ask(config, '/readyz')).status).toBe(200)
  const stopping = waybill.stop()
  const ready = await ask(config, '/readyz')
  expect({ status: ready.status, body: await ready.json() }).toEqual({
    status: 503,
    body: { isReady: false, reason: 'It is starting, or stopping.' },
  })
  end.resolve()
  await stopping
})

it('an idle consumer on a connection that answers nothing any more is not healthy, and is again when the network heals (M2)', async () => {
  const direct = (await postgresDatabase()).url
  await using proxy = await startProxy({ port: Number(new URL(direct).port) })
  const url = new URL(direct)
  url.port = String(proxy.port)
  url.password = secret
  const config = await configOf(url.href)
  await using waybill = createWaybill(config, {})
  await waybill.migrate()
  waybill.consume(orders, { consumer: 'shipping' }, () => {})
  await waybill.start()
  await until('it is well', async () => (await health(config)).status === 200)
  proxy.halfOpen()
  await until('both are told', async () => {
    const { status, unwell, text } = await health(config)
    expect(text).not.toContain('canary')
    expect(status).toBe(unwell.length === 0 ? 200 : 503)
    return unwell.includes('database') && unwell.includes('consumer shipping')
  })
  const metrics = await ask(config, '/metrics')
  expect(await metrics.text()).toContain('waybill_store_up 0')
  await proxy.heal()
  await until('it is well again', async () => (await health(config)).status === 200)
})

it('says where it serves, and warns where others reach it', async () => {
  const { url } = await postgresDatabase()
  const told: string[] = []
  const tell =
    (level: string) =>
    (_fields: object, message: string): void => {
      if (message.includes('metrics and health')) told.push(`${level}: ${message}`)
    }
  const logger = { ...silentLogger, info: tell('info'), warn: tell('warn') }
  for (const httpHost of ['127.0.0.1', '0.0.0.0']) {
    await using waybill = createWaybill(await configOf(url, { httpHost, logger }), {})
    await waybill.migrate()
    await waybill.start()
  }
  expect(told).toEqual([
    'info: serving metrics and health to this machine',
    'warn: serving metrics and health, without a password, to whoever reaches this address',
  ])
})

it('refuses a port that is taken, and a port without a monitor, when it starts', async () => {
  const { url } = await postgresDatabase()
  const config = await configOf(url)
  await using first = createWaybill(config, {})
  await first.migrate()
  await first.start()
  await using second = createWaybill(config, {})
  await expect(second.start()).rejects.toMatchObject({
    code: 'WB_INVALID_CONFIG',
    message: expect.stringContaining('EADDRINUSE'),
  })
  const { monitor: _, ...without } = config
  await using third = createWaybill(without, {})
  await expect(third.start()).rejects.toMatchObject({
    code: 'WB_INVALID_CONFIG',
    message: expect.stringContaining('httpMonitor()'),
  })
})
