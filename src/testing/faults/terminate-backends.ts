import { systemClock } from '../../kernel/clock.ts'
import type { ActiveFault, Fault } from './fault.ts'

export interface TerminateBackendsOptions {
  /** @default 200 */
  readonly everyMs?: number
  readonly random?: () => number
  /** Only sessions whose `application_name` begins with this: a database may be somebody else's too. @default all */
  readonly application?: string
}

const timeoutMs = 10_000

/** A session from which the others are ended. */
interface Sniper {
  query(text: string, values?: unknown[]): Promise<{ readonly rows: readonly Record<string, unknown>[] }>
  end(): Promise<void>
}

/**
 * `pg_terminate_backend` of one of a database's sessions, chosen anew each time, until it is healed (F19). `database`: its URL, which
 * needs `pg`; or how a session is opened there.
 */
export function terminateBackendsFault(
  database: string | (() => Promise<Sniper>),
  { everyMs = 200, random = Math.random, application = '' }: TerminateBackendsOptions = {},
): Fault {
  return {
    name: 'terminate backends',
    async inject(): Promise<ActiveFault> {
      const client = typeof database === 'string' ? await connected(database) : await database()
      const over = new AbortController()
      let hits = 0
      const repeat = async (): Promise<void> => {
        while (!over.signal.aborted) {
          const { rows } = await client.query(
            `select pid from pg_stat_activity
             where datname = current_database() and pid <> pg_backend_pid() and backend_type = 'client backend'
               and starts_with(application_name, $1)`,
            [application],
          )
          const chosen = rows[Math.floor(random() * rows.length)]
          if (chosen !== undefined) {
            const { rows: ended } = await client.query('select pg_terminate_backend($1) as ended', [
              chosen['pid'],
            ])
            if (ended[0]!['ended'] === true) hits += 1
          }
          await systemClock.sleep(everyMs, over.signal)
        }
      }
      const repeating = repeat()
      // Told by `heal`; until then nobody listens, and a rejection nobody listens to ends the process.
      repeating.catch(() => {})
      return {
        get hasStruck() {
          return hits > 0
        },
        async heal() {
          over.abort()
          try {
            await repeating
          } finally {
            await client.end()
          }
        },
      }
    },
  }
}

async function connected(databaseUrl: string): Promise<Sniper> {
  const { Client } = (await import('pg')).default
  const client = new Client({
    connectionString: databaseUrl,
    connectionTimeoutMillis: timeoutMs,
    query_timeout: timeoutMs,
  })
  // Somebody else may end this session too. The next statement tells; without a listener the process would end.
  client.on('error', () => {})
  await client.connect()
  return client
}
