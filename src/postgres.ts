export { postgresStore } from './stores/postgres/store.ts'
export type { PostgresStoreOptions } from './stores/postgres/options.ts'
export type { PgClient, PgPool, PgQuery, PgResult } from './stores/postgres/driver.ts'
