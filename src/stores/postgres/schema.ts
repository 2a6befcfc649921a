import { WaybillError } from '../../kernel/errors.ts'
import type { ChannelRegistration, LocalSubscription, SchemaAdmin, SchemaStatus } from '../../ports/schema.ts'
import type { Connection } from './connection.ts'
import type { PgResult } from './driver.ts'
import { migrations, newestVersion } from './migrations/all.ts'
import { registerText, unsubscribeText } from './registration.ts'

/** Serialises migrations, registrations and changes of the layout of one schema. */
const lock = (s: string): string => `select pg_advisory_xact_lock(hashtextextended('waybill ' || '${s}', 1))`

export function createSchemaAdmin(connection: Connection, s: string): SchemaAdmin {
  const inTransaction = async <T>(what: string, work: () => Promise<T>): Promise<T> => {
    await connection.query({ text: `begin; ${lock(s)}` }, what)
    try {
      const result = await work()
      await connection.query({ text: 'commit' }, what)
      return result
    } catch (error) {
      await connection.query({ text: 'rollback' }, what).catch(() => {})
      throw error
    }
  }

  const find = async (): Promise<SchemaStatus> => {
    const exists = await connection.query(
      { text: 'select to_regclass($1) is not null as found', values: [`${s}.migrations`] },
      'look for the schema',
    )
    if (exists.rows[0].found !== true) return { found: 0, known: newestVersion, oldestCode: 0 }
    const text = `select max(version) as version, max(oldest_code) as oldest from ${s}.migrations`
    const [row] = (await connection.query({ text }, 'read the schema version')).rows
    return { found: Number(row.version), known: newestVersion, oldestCode: Number(row.oldest) }
  }

  return {
    migrate: () =>
      inTransaction('migrate the schema', async () => {
        // Looked at under the lock: of several processes that start at once the first one migrates.
        const before = await find()
        refuseNewer(before)
        const pending = migrations.filter((each) => each.version > before.found)
        if (pending.length > 0) await connection.query({ text: script(s, before.found) }, 'migrate the schema')
        return pending.map((each) => each.version)
      }),
    print: () => `begin;\n${lock(s)};\n${script(s, 0)}commit;\n`,
    async check() {
      const status = await find()
      if (status.found === 0) {
        throw new WaybillError('WB_SCHEMA_MISSING', `The schema ${s} is not there. Run \`waybill migrate\` first.`)
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
    async register(
      channels: readonly ChannelRegistration[],
      subscriptions: readonly LocalSubscription[],
      partitions: number,
    ) {
      const sorted = channels.toSorted((a, b) => (a.channel < b.channel ? -1 : 1))
      const names = subscriptions.flatMap(({ consumer, channels: own }) => own.map((channel) => [consumer, channel]))
      const values = [
        partitions,
        sorted.map((each) => each.channel),
        sorted.map((each) => each.transport),
        sorted.map((each) => each.address),
        sorted.map((each) => each.ordered),
        sorted.map((each) => each.maxBytes),
        names.map(([consumer]) => consumer),
        names.map(([, channel]) => channel),
      ]
      await inTransaction('register channels', () => registering(connection, s, values))
    },
    async unsubscribe(consumer) {
      const what = `unsubscribe consumer "${consumer}"`
      await inTransaction(what, () => connection.query({ text: unsubscribeText(s), values: [consumer] }, what))
    },
  }
}

async function registering(connection: Connection, s: string, values: readonly unknown[]): Promise<void> {
  const text = registerText(s)
  const [count, channels, transports, addresses, ordered, maxBytes, consumers, subscribed] = values
  const run = (statement: string, parameters: unknown[]): Promise<PgResult> =>
    connection.query({ text: statement, values: parameters }, 'register channels')
  const conflict = await run(text.conflicts, [channels, transports, addresses, ordered])
  if (conflict.rows.length > 0) {
    const [row] = conflict.rows
    throw new WaybillError(
      'WB_CHANNEL_CONFLICT',
      `Channel "${row.channel}" is registered with transport "${row.transport}" and ordered ${row.ordered}, and messages of ` +
        'it wait in the outbox. Deliver them first, or give the changed channel another name.',
    )
  }
  await run(text.transports, [count, transports])
  await run(text.channels, [channels, transports, addresses, ordered, maxBytes])
  await run(text.subscriptions, [consumers, subscribed])
  await run(text.partitions, [])
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
