import type { Query } from '../demo/database.ts'
import { type ProveSettings, sessionsOf } from './settings.ts'

/** What runs have left that were killed. */
export interface Remnants {
  readonly schemas: readonly string[]
  /** Whose names topics and groups of theirs bear. */
  readonly runs: readonly string[]
}

/** Schemas of runs that were killed, and so could not remove them: no process of theirs has a session any more. */
export async function leftSchemas(
  query: Query,
  { id }: Pick<ProveSettings, 'id'>,
): Promise<readonly string[]> {
  const rows = await query(
    `select nspname::text as name
     from pg_namespace, lateral substring(nspname from '^(waybill_prove_[0-9a-f]{8})(_load|_copies)?$') as run
     where run <> $1
       and not exists (select from pg_stat_activity where starts_with(application_name, replace($2, $1, run)))
     order by nspname`,
    [id, sessionsOf({ id })],
  )
  return rows.map(({ name }) => String(name))
}
