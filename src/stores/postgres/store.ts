import { WaybillError } from '../../kernel/errors.ts'
import type { Store, StoreContext, StoreDefinition } from '../../ports/store.ts'
import { Connection } from './connection.ts'
import type { PgClient, PgConnection, PgModule, PgPool, PgPooledClient } from './driver.ts'
import { createInbox } from './inbox.ts'
import { openLeases } from './leases.ts'
import { checkOptions, type PostgresStoreOptions } from './options.ts'
import { OutboxEffects } from './outbox-effects.ts'
import { OutboxReader } from './outbox-reader.ts'
import { createOutboxWriter } from './outbox-writer.ts'
import { quoteSchema } from './quote.ts'
import { createSchemaAdmin } from './schema.ts'
import { createTransactionRunner } from './transaction-runner.ts'

/** Outbox and inbox in PostgreSQL. Throws `WB_INVALID_OPTION`; connects to nothing before it is used. */
export function postgresStore(options: PostgresStoreOptions): StoreDefinition<PgClient> {
  checkOptions(options)
  const schema = quoteSchema(options.schema ?? 'waybill')
  return { kind: 'postgres', open: (context) => openStore(options, schema, context) }
}

function openStore(options: PostgresStoreOptions, schema: string, context: StoreContext): Store {
  const { applicationName, statementTimeoutMs, lockTimeoutMs, leaseMs } = context
  const opened = new Set<Connection>()
  let ownPool: Promise<PgPool> | null = null

  const pool = (): Promise<PgPool> => {
    if (options.pool !== undefined) return Promise.resolve(options.pool)
    ownPool ??= loadDriver().then(({ Pool }) => {
      const { connectionString } = options
      const created = new Pool({ connectionString, application_name: applicationName, pipeline: true, keepAlive: true })
      // The loss of an idle connection is no error of anybody's; without a listener it would end the process.
      ;(created as unknown as PgConnection).on('error', () => {})
      return created
    })
    return ownPool
  }

  const connect = (purpose: string): Connection => {
    const connection = new Connection({
      timeoutMs: statementTimeoutMs,
      create: async () => {
        const { Client } = await loadDriver()
        const base = options.pool === undefined ? { connectionString: options.connectionString } : optionsOf(options.pool)
        const name = `${applicationName} ${purpose}`.slice(0, 63)
        return new Client({
          ...base,
          application_name: name,
          keepAlive: true,
          connectionTimeoutMillis: statementTimeoutMs,
          pipeline: true,
        })
      },
      // Whatever the role or database has set: text formats that are parsed here, durable commits, statements that end.
      setUp:
        `set datestyle to 'ISO'; set bytea_output to 'hex'; set synchronous_commit to on; ` +
        `set statement_timeout to ${statementTimeoutMs}; set lock_timeout to ${lockTimeoutMs}; ` +
        // Every statement has its index, whatever the statistics of a table say that was empty a minute ago (P10).
        'set enable_seqscan to off; set jit to off',
    })
    opened.add(connection)
    return connection
  }

  const close = async (...connections: Connection[]): Promise<void> => {
    for (const connection of connections) opened.delete(connection)
    await Promise.all(connections.map((connection) => connection.close()))
  }

  return {
    kind: 'postgres',
    schema: createSchemaAdmin(connect('schema'), schema),
    writer: createOutboxWriter(schema),
    inbox: createInbox(connect('inbox'), schema),
    transactions: createTransactionRunner(
      async (): Promise<PgPooledClient> => (await pool()).connect(),
      lockTimeoutMs,
    ),
    openOutbox: async (lane) => {
      const reading = connect('reader')
      const acting = connect('relay')
      const reader = new OutboxReader(reading, schema, lane)
      const effects = new OutboxEffects(acting, schema, lane)
      return {
        read: (request) => reader.read(request),
        remove: (rows) => effects.remove(rows),
        block: (lines) => effects.block(lines),
        bury: (letters) => effects.bury(letters),
        close: () => close(reading, acting),
      }
    },
    openLeases: async (lane) => {
      const connection = connect('leases')
      try {
        const session = await openLeases(connection, { schema, lane, leaseMs, application: applicationName })
        return {
          ...session,
          close: async () => {
            await session.close()
            opened.delete(connection)
          },
        }
      } catch (error) {
        await close(connection)
        throw error
      }
    },
    close: async () => {
      await close(...opened)
      await (await ownPool)?.end()
      ownPool = null
    },
  }
}

/** A pool hides its password from whoever lists its options. */
function optionsOf(pool: PgPool): object {
  const { password } = pool.options as { password?: unknown }
  return password === undefined ? pool.options : { ...pool.options, password }
}

async function loadDriver(): Promise<PgModule> {
  try {
    const { default: pg } = (await import('pg')) as unknown as { default: PgModule }
    return pg
  } catch (error) {
    throw new WaybillError('WB_PEER_MISSING', 'postgresStore needs the driver: npm install pg', { cause: error })
  }
}
