import { WaybillError } from '../../kernel/errors.ts'
import { didYouMean } from '../../kernel/suggest.ts'
import type { PgPool } from './driver.ts'

/** Where PostgreSQL is, and under which name Waybill's tables stand there. Version 14 or newer. */
export type PostgresStoreOptions = PostgresPlace & {
  /** Schema of Waybill's own tables: lower-case letters, digits and underscores. @default 'waybill' */
  readonly schema?: string
  /**
   * A way past a pooler, for the relay's and the inbox's own connections; transactions stay with `connectionString` or `pool`. Behind a
   * pooler in transaction mode (pgbouncer) everything works without it too, but a relay that was killed is replaced only when its leases
   * end, other processes are not told what is new, and statements are not prepared.
   * @default none: all connections go one way
   */
  readonly directConnectionString?: string
  /**
   * Whether a pooler in transaction mode stands before `connectionString` or `pool`. `auto`: the first connection finds out.
   * @default 'auto', or 'transaction' where there is a `directConnectionString`
   */
  readonly pooler?: 'auto' | 'transaction' | 'none'
}

type PostgresPlace =
  | {
      /** A URL as `pg` takes it. The store makes its own pool (pipelined) and closes it. */
      readonly connectionString: string
      readonly pool?: never
    }
  | {
      /**
       * A `pg` pool, which stays yours to close. Made with `pipeline: true`, `transaction()` needs fewer round trips. Relays use
       * connections of their own, made with the pool's options.
       */
      readonly pool: PgPool
      readonly connectionString?: never
    }

const names = ['connectionString', 'pool', 'schema', 'directConnectionString', 'pooler'] as const
const poolers = ['auto', 'transaction', 'none']

export function checkOptions(options: PostgresStoreOptions): void {
  const refuse = (sentence: string): never => {
    throw new WaybillError('WB_INVALID_OPTION', `postgresStore: ${sentence}`)
  }
  if (typeof options !== 'object' || options === null)
    refuse('takes an object with `connectionString` or `pool`.')
  for (const name of Object.keys(options)) {
    if (!names.some((known) => known === name)) refuse(`unknown option "${name}".${didYouMean(name, names)}`)
  }
  const { connectionString, pool } = options
  if (connectionString === undefined && pool === undefined)
    refuse('takes either `connectionString` or `pool`. Is an environment variable not set?')
  if (connectionString !== undefined && pool !== undefined)
    refuse('takes either `connectionString` or `pool`, not both.')
  if (pool !== undefined && typeof pool.connect !== 'function') refuse('`pool` is not a pg pool.')
  const { directConnectionString, pooler = 'auto' } = options
  if (!poolers.includes(pooler)) refuse(`\`pooler\` must be one of ${poolers.join(', ')}.`)
  if (
    directConnectionString !== undefined &&
    (typeof directConnectionString !== 'string' || directConnectionString === '')
  ) {
    refuse('`directConnectionString` must be a text such as postgres://host/database.')
  }
  if (connectionString !== undefined && (typeof connectionString !== 'string' || connectionString === '')) {
    refuse(
      '`connectionString` must be a text such as postgres://host/database. Is an environment variable not set?',
    )
  }
}
