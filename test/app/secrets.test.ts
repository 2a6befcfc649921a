import { Client } from 'pg'
import { expect, it, onTestFinished } from 'vitest'
import { createWaybill, defineChannel, defineConfig, type Logger } from '../../src/index.ts'
import { localTransport } from '../../src/local.ts'
import { postgresStore } from '../../src/postgres.ts'
import { startProxy, until } from '../../src/testing.ts'
import { postgresDatabase } from '../setup/servers.ts'

const secret = 'canary-payload-5d1e'
const password = 'canary-password-84bb'

const orders = defineChannel<{ id: string; note: string }>({
  name: 'orders.placed',
  key: (order) => order.id,
})

it('no line of the log holds a payload or the password, while handlers fail and the database goes away', async () => {
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
        logger,
      }),
      {},
    )
    await waybill.migrate()
    const place = (id: string): Promise<string> =>
      waybill.transaction((tx) => waybill.publish(tx, orders, { id, note: secret }))
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
    proxy.refuse()
    proxy.reset()
    await heard('lost the lease session')
    await heard('could not read the outbox')
    await proxy.heal()
    await place('well')
    await until('the drain', async () => {
      const { rows } = await client.query<{ n: number }>('select count(*)::int as n from waybill.outbox')
      return rows[0]!.n === 0
    })
  }
  for (const words of ['it will be tried again', 'given up']) await heard(words)
  const told = logged.join('\n')
  // Any piece of them: errors of JSON.parse quote a few letters of the text.
  expect(told).not.toContain('canary')
})
