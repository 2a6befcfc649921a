import type { HistoryEvent } from '../history.ts'
import { totalQueue } from './queue.ts'
import type { CheckResult } from './verdict.ts'

/**
 * A3 where messages may be lost: none is without being counted. More may be counted than are lost: who was killed behind the effect has
 * not told of it.
 */
export function countedLosses(history: readonly HistoryEvent[], counted: number): CheckResult {
  const seen = totalQueue(history).lost.length
  const detail = `${seen} lost, of which ${counted} are counted`
  return {
    checker: 'countedLosses',
    checked: 1,
    anomalies: seen > counted ? [{ kind: 'uncounted', id: 'losses', detail }] : [],
  }
}
