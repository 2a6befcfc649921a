import { hostname, userInfo } from 'node:os'
import type { Logger } from '../kernel/logger.ts'

export type OperatorAction =
  | 'dead.replay'
  | 'dead.purge'
  | 'keys.unblock'
  | 'keys.skip'
  | 'sent.replay'
  | 'subscriptions.end'

/** Of a filter, so that a line of a log stays one that is read. */
const mostIds = 100

/**
 * One line for each thing an operator changed: who, what, how much, and by which filter. Never a payload; a filter has none. Also
 * where it changed nothing, or failed half-way.
 */
export function audit(
  logger: Logger,
  action: OperatorAction,
  filter: object,
  result: Readonly<Record<string, unknown>>,
): void {
  logger.info(
    { action, user: userName(), host: hostname(), filter: shortened(filter), ...result },
    'an operator acted',
  )
}

function shortened(filter: object): object {
  const ids: readonly unknown[] = 'ids' in filter && Array.isArray(filter.ids) ? filter.ids : []
  return ids.length <= mostIds ? filter : { ...filter, ids: [...ids.slice(0, mostIds), `… ${ids.length}`] }
}

/** Of the process; a user without an entry in the system's list has no name. */
function userName(): string {
  try {
    return userInfo().username
  } catch {
    return `uid ${process.getuid?.() ?? '?'}`
  }
}
