import { WaybillError } from '../../kernel/errors.ts'
import type { SchemaAdmin, SchemaStatus } from '../../ports/schema.ts'
import type { Connection, Queries } from './connection.ts'
import { migrations, newestVersion } from './migrations/all.ts'
import { register, unsubscribe } from './registration.ts'

/** Serialises migrations and registrations of one schema. Waits no longer than lock_timeout. */
function lockText(s: string): string {
  return `select ${registrationLock(s, 'exclusive')}`
}

/** Shared by those who need that nothing is registered meanwhile. */
export function registrationLock(s: string, mode: 'exclusive' | 'shared'): string {
  const lock = mode === 'shared' ? 'pg_advisory_xact_lock_shared' : 'pg_advisory_xact_lock'
  return `${lock}(${registrationKey(s)})`
}

export function tryRegistrationLock(s: string): string {
  return `pg_try_advisory_xact_lock(${registrationKey(s)})`
}

function registrationKey(s: string): string {
  return `hashtextextended('waybill ${s.replaceAll("'", "''")}', 0)`
}

type Length = 'short' | 'long'

/**
 * Lends a connection for one call, whose statements are short or may be long. It is never made anew while it is lent, so that
 * what is in a transaction stays in it.
 */
export type LendConnection = <T>(length: Length, work: (connection: Connection) => Promise<T>) => Promise<T>

export function createSchemaAdmin(withConnection: LendConnection, s: string, keeps: boolean): SchemaAdmin {
  /** Closing the connection is the rollback. */
  const inTransaction = <T>(
    length: Length,
    what: string,
    work: (connection: Queries) => Promise<T>,
  ): Promise<T> =>
    withConnection(length, (connection) =>
      connection.transaction(what, async (run) => {
        await run({ text: lockText(s) })
        return work({ query: run })
      }),
    )

  return {
    migrate: () =>
      inTransaction('long', 'migrate the schema', async (connection) => {
        // Looked at under the lock: of several processes that start at once the first one migrates.
        const before = await find(connection, s)
        refuseNewer(before)
        const pending = migrations.filter((each) => each.version > before.found)
        if (pending.length > 0)
          await connection.query({ text: script(s, before.found) }, 'migrate the schema')
        return pending.map((each) => each.version)
      }),
    print: () => `begin;\n${lockText(s)};\n${script(s, 0)}commit;\n`,
    async identity() {
      const query = { text: `select id from ${s}.identity` }
      const [row] = await withConnection('short', (connection) =>
        connection.query<{ id: string }>(query, 'read the identity of the outbox'),
      )
      return row!.id
    },
    async check() {
      const status = await withConnection('short', (connection) => find(connection, s))
      if (status.found === 0) {
        throw new WaybillError(
          'WB_SCHEMA_MISSING',
          `The schema ${s} is not there. Run \`waybill migrate\` first.`,
        )
      }
      refuseNewer(status)
      if (status.found < newestVersion) {
        throw new WaybillError(
          'WB_SCHEMA_OUTDATED',
          `The schema ${s} has version ${status.found} and this code needs ${newestVersion}. Run \`waybill migrate\`.`,
        )
      }
      return status
    },
    register: (channels, subscriptions, partitions) =>
      inTransaction('short', 'register channels', (connection) =>
        register(connection, s, { channels, subscriptions, partitions }),
      ),
    unsubscribe: (consumer, { isDryRun = false } = {}) =>
      inTransaction('long', `unsubscribe consumer "${consumer}"`, (connection) =>
        unsubscribe(connection, s, consumer, { keeps, isDryRun }),
      ),
  }
}

async function find(connection: Queries, s: string): Promise<SchemaStatus> {
  const [exists] = await connection.query<{ found: boolean }>(
    { text: 'select to_regclass($1) is not null as found', values: [`${s}.migrations`] },
    'look for the schema',
  )
  if (exists?.found !== true) return { found: 0, known: newestVersion, oldestCode: 0 }
  const text = `select max(version) as version, max(oldest_code) as oldest from ${s}.migrations`
  const [row] = await connection.query<{ version: number | null; oldest: number | null }>(
    { text },
    'read the version',
  )
  return { found: row?.version ?? 0, known: newestVersion, oldestCode: row?.oldest ?? 0 }
}

function refuseNewer(status: SchemaStatus): void {
  if (status.oldestCode <= newestVersion) return
  throw new WaybillError(
    'WB_SCHEMA_TOO_NEW',
    `The schema has version ${status.found}, on which code that knows only version ${newestVersion} may not run. Update ` +
      'the waybill package.',
  )
}

/** What brings the schema from version `from` to the newest. */
function script(s: string, from: number): string {
  const steps = migrations
    .filter((each) => each.version > from)
    .map(
      ({ version, oldestCode, sql }) => `-- version ${version}
${sql(s)}
insert into ${s}.migrations (version, oldest_code) values (${version}, ${oldestCode});
`,
    )
  return `create schema if not exists ${s};
create table if not exists ${s}.migrations (
  version int primary key, oldest_code int not null, applied_at timestamptz not null default clock_timestamp());
${steps.join('')}`
}
