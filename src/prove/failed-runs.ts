import type { HistoryEvent } from '../testing.ts'

/**
 * A history without the runs that a handler's own error ended, as of a deadlock that it met: where one comes behind, that is no
 * redelivery. Several messages run in one transaction, which an error of any of them undoes: so a run counts as failed where its process
 * has noted an error of any before it began the next of the same message.
 */
export function withoutFailedRuns(history: readonly HistoryEvent[]): readonly HistoryEvent[] {
  const failedAt = new Map<string, number>()
  const began = new Map<string, HistoryEvent>()
  const failed = new Set<HistoryEvent>()
  for (const event of history) {
    const { f, type, id, process, t } = event
    if (f !== 'handle' || id === null) continue
    if (type === 'fail') failedAt.set(process, t)
    if (type !== 'invoke') continue
    const before = began.get(id)
    if (before !== undefined && (failedAt.get(before.process) ?? -Infinity) >= before.t) failed.add(before)
    began.set(id, event)
  }
  return history.filter((event) => !failed.has(event))
}
