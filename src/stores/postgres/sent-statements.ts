const columns = 'partition, seq, id, channel, key, payload, content_type, headers, created_at'

/** `shared`: only where a consumer besides $4 subscribes to it, for that one has had it, and $4 has not. */
export type Keeping = boolean | 'shared'

/** What a delete from `outbox o` returns. */
export function returned(keeps: Keeping): string {
  return keeps !== false ? `returning ${columns.replaceAll(/\w+/gu, 'o.$&')}` : 'returning 1'
}

/**
 * The CTE that moves what the CTE `gone` deleted to `sent`, with a comma before it: one statement, so that a message is in one of the
 * two. Rows of a channel of form `take` were deleted before they were sent, and are not kept: sent a second time they would break
 * their promise.
 */
export function kept(s: string, keeps: Keeping): string {
  if (keeps === false) return ''
  const isShared =
    keeps === 'shared'
      ? ` and exists (select from ${s}.subscriptions u where u.channel = g.channel and u.consumer <> $4)`
      : ''
  return `,
kept as (
  insert into ${s}.sent (${columns})
  select ${columns} from gone g where (select c.retained from ${s}.channels c where c.channel = g.channel)${isShared})`
}
