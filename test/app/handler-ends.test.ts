import { Client } from 'pg'
import { expect, it, onTestFinished } from 'vitest'
import { createWaybill, defineChannel, defineConfig, many } from '../../src/index.ts'
import { localTransport } from '../../src/local.ts'
import { type PgClient, postgresStore } from '../../src/postgres.ts'
import { until } from '../../src/testing.ts'
import { postgresDatabase } from '../setup/servers.ts'

const steps = defineChannel<{ n: number }>({ name: 'steps', guarantee: 'exactly-once', ordered: false })
const numbers = Array.from({ length: 12 }, (_, n) => n)

const ends: Readonly<Record<string, (tx: PgClient) => Promise<unknown>>> = {
  COMMIT: (tx) => tx.query('COMMIT'),
  ROLLBACK: (tx) => tx.query('rollback'),
  'ROLLBACK and BEGIN': async (tx) => {
    await tx.query('rollback')
    await tx.query('begin')
  },
  'ROLLBACK; BEGIN in one': (tx) => tx.query({ text: 'rollback; begin' }),
  'a ROLLBACK whose error is swallowed': (tx) => tx.query('rollback').catch(() => {}),
}

it.each(Object.keys(ends))(
  'a handler that sends %s costs its neighbours in the batch nothing',
  async (name) => {
    const { url } = await postgresDatabase()
    const client = new Client({ connectionString: url })
    await client.connect()
    onTestFinished(() => client.end())
    await client.query('create table effects (n int)')
    const waybill = createWaybill(
      defineConfig({
        store: postgresStore({ connectionString: url }),
        transports: { local: localTransport() },
        channels: [steps],
        maxAttempts: 2,
        retryInitialMs: 10,
        retryMaxMs: 20,
        partitions: 1,
        logLevel: 'silent',
      }),
      {},
    )
    onTestFinished(() => waybill.stop())
    await waybill.migrate()
    let ended = 0
    waybill.consume(steps, { consumer: 'w' }, async ({ payload: { n } }, { tx }) => {
      await tx.query('insert into effects values ($1)', [n])
      if (n !== 5) return
      ended += 1
      await ends[name]!(tx)
    })
    await waybill.transaction((tx) => waybill.publish(tx, steps, many(numbers.map((n) => ({ n })))))
    await waybill.start()
    await until('its dead letter and the effects of all others', async () => {
      const { rows } = await client.query('select count(distinct n)::int as n from effects')
      return rows[0].n >= 11 && (await waybill.deadLetters.list()).length === 1
    })
    const { rows } = await client.query<{ n: number }>('select n from effects order by n')
    expect(rows.map(({ n }) => n)).toEqual(numbers.filter((n) => n !== 5))
    expect(await waybill.deadLetters.list()).toMatchObject([{ errorCode: 'WB_NO_TRANSACTION' }])
    // Once in the batch, and then alone.
    expect(ended).toBeGreaterThan(1)
  },
)
