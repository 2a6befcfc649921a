import { readFileSync } from 'node:fs'
import { Client } from 'pg'
import { expect, inject, test } from 'vitest'
import { askMetadata } from '../../src/testing/kafka-wire.ts'
import { describeWithKafka, kafkaBrokers, postgresDatabase } from '../setup/servers.ts'

test('each call gives a fresh database, and drop takes it away with its slots and prepared transactions', async () => {
  const first = await postgresDatabase()
  const second = await postgresDatabase()
  expect(first.url).not.toBe(second.url)
  const client = new Client({ connectionString: first.url })
  await client.connect()
  await client.query('create table t (x int)')
  await client.query("select pg_create_logical_replication_slot('waybill_setup_test', 'pgoutput')")
  await client.query('begin')
  await client.query('insert into t values (1)')
  await client.query("prepare transaction 'it''s left over'")
  await client.end()
  await first.drop()
  const other = new Client({ connectionString: second.url })
  await other.connect()
  const left = await other.query('select from pg_database where datname = $1', [
    new URL(first.url).pathname.slice(1),
  ])
  expect(left.rowCount).toBe(0)
  expect((await other.query('select from t').catch((error: unknown) => error)) as Error).toMatchObject({
    code: '42P01',
  })
  await other.end()
})

test('the survey of test servers is written where the closing line of a run finds it', () => {
  expect(JSON.parse(readFileSync('.cache/servers.json', 'utf8'))).toEqual(inject('waybillServers'))
})

describeWithKafka('the shared broker', () => {
  test('is one and the same for all who ask', async () => {
    const [brokers, again] = await Promise.all([kafkaBrokers(), kafkaBrokers()])
    expect(again).toEqual(brokers)
    const view = await askMetadata(Number(brokers[0]!.split(':')[1]))
    expect(view.brokers).toBe(1)
  })
})
