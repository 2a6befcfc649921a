import { Client } from 'pg'
import { expect, it, onTestFinished } from 'vitest'
import { makeCopies, runSetting } from '../../src/prove/service/copies.ts'
import type { InTransaction } from '../../src/testing/idempotency-scratch.ts'
import { postgresDatabase } from '../setup/servers.ts'

it('what a run changes in a copy is noted, also by TRUNCATE, which triggers on rows do not see', async () => {
  const { url } = await postgresDatabase()
  const client = new Client({ connectionString: url })
  await client.connect()
  onTestFinished(() => client.end())
  const inTransaction: InTransaction = async (work) => {
    await client.query('begin')
    const result = await work(client)
    await client.query('commit')
    return result
  }
  await client.query('create table "Stock" (id int primary key, n int, at timestamptz default now())')
  await client.query('insert into "Stock" values (1, 1), (2, 2)')
  const tables = { tables: ['"Stock"'], ignore: ['"Stock".at'], maxRows: 10, besides: [] }
  await makeCopies(inTransaction, { schema: 'copies', ...tables })
  await inTransaction(async (tx) => {
    await tx.query(`select set_config('${runSetting}', 'a', true)`)
    await tx.query('truncate copies."Stock"')
    await tx.query('insert into copies."Stock" values (1, 1), (3, 3)')
  })
  const { rows } = await client.query(
    `select run, image, sum(sign)::int as sign from copies."waybill changes" group by 1, 2 having sum(sign) <> 0 order by 3`,
  )
  expect(rows).toEqual([
    { run: 'a', image: ['"Stock"', { id: 2, n: 2 }], sign: -1 },
    { run: 'a', image: ['"Stock"', { id: 3, n: 3 }], sign: 1 },
  ])
})
