import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { Client } from 'pg'
import pc from 'picocolors'
import { expect, it, onTestFinished } from 'vitest'
import { createWaybill, defineChannel, defineConfig, type Logger } from '../../src/index.ts'
import { statusText } from '../../src/cli/status-text.ts'
import { localTransport } from '../../src/local.ts'
import { httpMonitor } from '../../src/monitor.ts'
import { postgresStore } from '../../src/postgres.ts'
import { freePort, startProxy, until } from '../../src/testing.ts'
import { postgresDatabase } from '../setup/servers.ts'

const secret = 'canary-payload-5d1e'
const password = 'canary-password-84bb'

const orders = defineChannel<{ id: string; note: string }>({
  name: 'orders.placed',
  key: (order) => order.id,
})

/** Every event that is told while a test runs; functions of an event are called, as a listener would. */
function diagnosticEvents(): unknown[] {
  const events: unknown[] = []
  const kinds = {
    outbox: ['published'],
    relay: ['read', 'sent', 'retried', 'blocked', 'dead', 'lost', 'held', 'leases'],
    consumer: ['handled', 'duplicate', 'failed', 'dead', 'lost', 'unavailable'],
  }
  for (const [part, names] of Object.entries(kinds)) {
    for (const name of names) {
      const channel = `waybill.${part}.${name}`
      const listen = (event: unknown): void => {
        const { traces } = event as { traces?: (most: number) => unknown }
        events.push({ kind: channel, ...(event as object), traces: traces?.(100) })
      }
      subscribe(channel, listen)
      onTestFinished(() => void unsubscribe(channel, listen))
    }
  }
  return events
}

it('no line of the log, no metric, health, status or event holds a payload or the password, while handlers fail and the database goes away', async () => {
  const direct = (await postgresDatabase()).url
  await using proxy = await startProxy({ port: Number(new URL(direct).port) })
  const url = new URL(direct)
  url.port = String(proxy.port)
  url.password = password
  const client = new Client({ connectionString: direct })
  await client.connect()
  onTestFinished(() => client.end())

  const logged: string[] = []
  const log =
    (level: string) =>
    (fields: Readonly<Record<string, unknown>>, message: string): void => {
      const plain = (_: string, value: unknown): unknown => {
        if (value instanceof Error)
          return Object.assign({}, value, { message: value.message, stack: value.stack })
        return typeof value === 'bigint' ? String(value) : value
      }
      logged.push(`${level} ${message} ${JSON.stringify(fields, plain)}`)
    }
  const logger: Logger = { debug: log('debug'), info: log('info'), warn: log('warn'), error: log('error') }
  const heard = (words: string): Promise<boolean> =>
    until(`a line with "${words}"`, () => logged.some((line) => line.includes(words)))
  const events = diagnosticEvents()
  const shown: string[] = []
  const httpPort = await freePort()
  const ask = async (path: string): Promise<void> => {
    shown.push(await (await fetch(`http://127.0.0.1:${httpPort}${path}`)).text())
  }
  {
    await using waybill = createWaybill(
      defineConfig({
        store: postgresStore({ connectionString: url.href }),
        transports: { local: localTransport() },
        channels: [orders],
        leaseMs: 1000,
        maxAttempts: 2,
        retryInitialMs: 10,
        retryMaxMs: 10,
        pollMaxMs: 20,
        handlerTimeoutMs: 500,
        publishTimeoutMs: 500,
        statementTimeoutMs: 1000,
        monitor: httpMonitor(),
        httpPort,
        logger,
      }),
      {},
    )
    await waybill.migrate()
    const place = (id: string): Promise<string> =>
      waybill.transaction((tx) =>
        waybill.publish(tx, orders, { id, note: secret }, { headers: { note: secret } }),
      )
    waybill.consume(orders, { consumer: 'shipping' }, async ({ payload }, { signal }) => {
      if (payload.id === 'fails') throw new Error('the carrier does not answer')
      if (payload.id === 'hangs') {
        await new Promise((_, reject) => {
          signal.addEventListener('abort', () => reject(signal.reason as Error))
        })
      }
    })
    await waybill.start()
    await place('fails')
    await place('hangs')
    await until('two dead letters', async () => {
      const { rows } = await client.query<{ n: number }>('select count(*)::int as n from waybill.dead')
      return rows[0]!.n === 2
    })
    // Written by hand, as a writer in another language might get it wrong.
    await client.query(
      `insert into waybill.outbox (id, partition, channel, key, payload)
       values (gen_random_uuid(), 0, 'orders.placed', 'k', $1)`,
      [Buffer.from(`{"note": ${secret}`)],
    )
    await until('the third', async () => {
      const { rows } = await client.query<{ n: number }>('select count(*)::int as n from waybill.dead')
      return rows[0]!.n === 3
    })
    const look = async (): Promise<void> => {
      const summary = await waybill.inspect()
      shown.push(JSON.stringify(summary), statusText(summary, { colors: pc.createColors(false), width: 80 }))
      for (const path of ['/metrics', '/healthz', '/readyz']) await ask(path)
    }
    await look()
    proxy.refuse()
    proxy.reset()
    await heard('lost the lease session')
    for (const path of ['/metrics', '/healthz']) await ask(path)
    await expect(waybill.inspect()).rejects.toThrow('cannot be reached')
    await proxy.heal()
    await place('well')
    await until('the drain', async () => {
      const { rows } = await client.query<{ n: number }>('select count(*)::int as n from waybill.outbox')
      return rows[0]!.n === 0
    })
  }
  for (const words of ['it will be tried again', 'given up']) await heard(words)
  // It was not quiet: what was shown has the dead letters, the failure and the counts.
  for (const words of ['dead letters', 'WB_STORE_UNREACHABLE', 'waybill_store_up 1'])
    expect(
      shown.some((text) => text.includes(words)),
      words,
    ).toBe(true)
  const kinds = new Set(events.map((event) => (event as { kind: string }).kind))
  expect(kinds.size).toBeGreaterThan(4)
  const told = [...logged, ...shown, ...events.map((event) => JSON.stringify(event))].join('\n')
  // Any piece of them: errors of JSON.parse quote a few letters of the text.
  expect(told).not.toContain('canary')
})
