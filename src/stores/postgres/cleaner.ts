import type { Cleaner, CleanupSurvey } from '../../ports/cleaner.ts'
import type { Connection } from './connection.ts'
import { purgeCountText } from './purge.ts'

/** On the connection of the cleanup; rare statements, so they are not prepared. */
export function createCleaner(connection: Connection, s: string): Cleaner {
  const count = async (text: string, values: unknown[]): Promise<number> => {
    const [row] = await connection.query<{ count: number }>(
      { text, values },
      'look what a cleanup would delete',
    )
    return row!.count
  }
  return {
    async survey(inboxRetentionMs, most): Promise<CleanupSurvey> {
      const values = [inboxRetentionMs, most]
      return {
        inbox: await count(purgeCountText(s, 'inbox', 'processed_at'), values),
        attempts: await count(purgeCountText(s, 'attempts', 'counted_at'), values),
        relays: await count(`${goneText(s)} select count(*)::int as count from gone`, []),
      }
    },
    async forgetRelays() {
      const text = `${goneText(s)}, deleted as (delete from ${s}.relays r using gone g where r.id = g.id returning 1)
select count(*)::int as count from deleted`
      const [row] = await connection.query<{ count: number }>({ text }, 'forget relays that are gone')
      return row!.count
    },
  }
}

/**
 * Registrations that nobody renewed for a day, whose session lock is free and who own no living lease. A claim forgets those of its own
 * lane; these are of lanes that nobody serves any more, or were made behind a pooler, without a lock.
 */
function goneText(s: string): string {
  return `
with old as materialized (
  select r.id, r.lock_key from ${s}.relays r where r.lease_until < clock_timestamp() - interval '1 day'
    and not exists (select from ${s}.partitions p where p.owner = r.id and p.lease_until >= clock_timestamp())),
gone as materialized (select o.id from old o where o.lock_key is null or pg_try_advisory_xact_lock(o.lock_key))`
}
