import { randomBytes } from 'node:crypto'
import { Client } from 'pg'
import { afterAll, describe, inject } from 'vitest'

export interface TestDatabase {
  readonly url: string
  /** Also called by itself when the file has run. */
  drop(): Promise<void>
}

const made: TestDatabase[] = []

afterAll(async () => {
  for (const database of made.splice(0)) await database.drop()
})

/** A fresh database on the shared PostgreSQL. Tests that kill or stop their server start one of their own. */
export async function postgresDatabase(): Promise<TestDatabase> {
  const shared = await sharedServer('postgres')
  const name = `test_${process.pid}_${randomBytes(4).toString('hex')}`
  await withClient(shared, (client) => client.query(`create database ${name}`))
  const url = new URL(shared)
  url.pathname = `/${name}`
  let dropped: Promise<void> | undefined
  const database: TestDatabase = {
    url: url.href,
    drop: () => (dropped ??= dropDatabase(shared, url.href, name)),
  }
  made.push(database)
  return database
}

/** The brokers of the shared Kafka. Topics are the test's to make, under names of its own. */
export async function kafkaBrokers(): Promise<string[]> {
  return (await sharedServer('kafka')).split(',')
}

/** `describe` where Kafka can run; else skipped, under a name that says what is missing. */
export function describeWithKafka(name: string, tests: () => void): void {
  describeWith('kafka', 'Kafka', name, tests)
}

/** The same for pgbouncer. Each test file starts its own, before the shared PostgreSQL. */
export function describeWithPgbouncer(name: string, tests: () => void): void {
  describeWith('pgbouncer', 'pgbouncer', name, tests)
}

function describeWith(program: string, called: string, name: string, tests: () => void): void {
  const server = inject('waybillServers').find((each) => each.name === program)
  if (server?.available === true) describe(name, tests)
  else describe.skip(`${name} (no ${called} here: ${server?.hint ?? ''})`, tests)
}

async function sharedServer(name: string): Promise<string> {
  const response = await fetch(`${inject('waybillServerDesk')}/${name}`)
  const text = await response.text()
  if (!response.ok) throw new Error(`The shared test server "${name}" did not start: ${text}`)
  return text
}

// Prepared transactions and slots would keep the database, and hold back every other user of the shared server.
async function dropDatabase(shared: string, url: string, name: string): Promise<void> {
  await withClient(url, async (client) => {
    const prepared = await client.query<{ gid: string }>(
      'select gid from pg_prepared_xacts where database = current_database()',
    )
    for (const { gid } of prepared.rows)
      await client.query(`rollback prepared '${gid.replaceAll("'", "''")}'`)
    await client.query(
      'select pg_terminate_backend(active_pid, 5000) from pg_replication_slots where database = current_database() and active',
    )
    await client.query(
      'select pg_drop_replication_slot(slot_name) from pg_replication_slots where database = current_database()',
    )
  })
  await withClient(shared, (client) => client.query(`drop database if exists ${name} with (force)`))
}

async function withClient<T>(url: string, work: (client: Client) => Promise<T>): Promise<T> {
  const client = new Client({ connectionString: url })
  await client.connect()
  try {
    return await work(client)
  } finally {
    await client.end()
  }
}
