import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { startPostgres } from '../../../src/testing/postgres-server.ts'
import { connect, idsOf, message, openDesk, openStore, openStreet, publish } from './support.ts'

const fixtures = new URL('../../fixtures/tls/', import.meta.url)

// The tap of rows stands behind TLS: on the socket there is nothing to be read.
test('an outbox is read over TLS as it is without', async () => {
  await using server = await startPostgres({ durable: false })
  const observer = await connect(server.url)
  const { rows } = await observer.query('show data_directory')
  const folder = rows[0].data_directory as string
  for (const [name, fixture] of [
    ['server.crt', 'localhost.crt'],
    ['server.key', 'localhost.key'],
  ] as const) {
    const lines = readFileSync(new URL(fixture, fixtures), 'utf8').trim().split('\n')
    // The server takes no key that is not its own user's, or that others may read.
    const listed = lines.map((line) => `'${line}'`).join(',')
    await observer.query(
      `copy (select unnest(array[${listed}])) to program 'umask 077 && cat > "${folder}/${name}"'`,
    )
  }
  await observer.query('alter system set ssl = on')
  await observer.query('select pg_reload_conf()')
  const store = openStore({ connectionString: `${server.url}?sslmode=no-verify` })
  await store.schema.migrate()
  const street = await openStreet(server.url, store)
  const ids = await publish(store, observer, street.channel, message('a', 'x'.repeat(200_000)), message('b'))
  const desk = await openDesk(store, street)
  const rowsRead = await desk.reader.read()
  expect(new Set(idsOf(rowsRead))).toEqual(new Set(ids))
  expect(rowsRead.map(({ payload }) => payload.length).sort((a, b) => b - a)).toEqual([200_000, 7])
  const { rows: sessions } = await observer.query(
    `select s.ssl from pg_stat_ssl s join pg_stat_activity a using (pid) where a.application_name like '% reads'`,
  )
  expect(sessions).toEqual([{ ssl: true }])
})
