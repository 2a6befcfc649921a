import { WaybillError } from '../../kernel/errors.ts'
import { didYouMean } from '../../kernel/suggest.ts'
import type { PgPool } from './driver.ts'

/** Where PostgreSQL is, and under which name Waybill's tables stand there. Version 14 or newer. */
export type PostgresStoreOptions = PostgresPlace & {
  /** Schema of Waybill's own tables: lower-case letters, digits and underscores. @default 'waybill' */
  readonly schema?: string
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

const names = ['connectionString', 'pool', 'schema'] as const

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
  if ((connectionString === undefined) === (pool === undefined))
    refuse('takes either `connectionString` or `pool`.')
  if (pool !== undefined && typeof pool.connect !== 'function') refuse('`pool` is not a pg pool.')
  if (connectionString !== undefined && (typeof connectionString !== 'string' || connectionString === '')) {
    refuse(
      '`connectionString` must be a text such as postgres://host/database. Is an environment variable not set?',
    )
  }
}
