import { WaybillError } from '../../kernel/errors.ts'

/**
 * A schema's name as it stands in SQL. Only plain names pass, so that quoting can never be what stands between a name and
 * the statement around it (S10); 63 bytes is where PostgreSQL silently cuts a name off.
 */
export function quoteSchema(name: string): string {
  if (typeof name !== 'string' || !/^[a-z_][a-z0-9_]{0,62}$/u.test(name) || name.startsWith('pg_')) {
    throw new WaybillError(
      'WB_INVALID_OPTION',
      'The schema of postgresStore must be 1 to 63 lower-case letters, digits and underscores, must not begin with a ' +
        `digit or pg_; ${JSON.stringify(name)?.slice(0, 80)} is not.`,
    )
  }
  return `"${name}"`
}
