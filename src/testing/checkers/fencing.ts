import type { HistoryEvent } from '../history.ts'
import type { Anomaly, CheckResult } from './verdict.ts'

export interface FencedWrites extends CheckResult {
  /** Rows that a zombie deleted, and was right to: it had seen them confirmed. */
  readonly lateConfirms: number
}

/**
 * R6: what a relay writes about rows of a partition that another one has claimed since changes nothing, but for the delete of a message
 * that it saw confirmed, which is right whoever does it. `checked` counts writes that began when the partition was another's; of one
 * that had begun before that, nobody outside the database knows which came first.
 */
export function fencedWrites(history: readonly HistoryEvent[]): FencedWrites {
  const newest = new Map<string, number>()
  const own = new Map<string, number>()
  const confirmed = new Set<string>()
  const begun = new Map<string, boolean>()
  const anomalies: Anomaly[] = []
  let [checked, lateConfirms] = [0, 0]
  for (const { process, type, f, key, id, epoch, value = 0 } of history) {
    const [holder, place] = [`${process}\0${key}`, key ?? '']
    if (f === 'lease' && type === 'ok' && epoch !== undefined) {
      newest.set(place, Math.max(epoch, newest.get(place) ?? epoch))
      own.set(holder, epoch)
    }
    if (id === null) continue
    const name = `${process}\0${id}`
    if (f === 'wire' && type === 'ok') confirmed.add(name)
    if (f !== 'mark' && f !== 'ack') continue
    const isLate = (epoch ?? own.get(holder) ?? Infinity) < (newest.get(place) ?? -Infinity)
    if (type === 'invoke') begun.set(`${f}\0${name}`, isLate)
    if (type !== 'ok' || !(begun.get(`${f}\0${name}`) ?? isLate)) continue
    checked++
    if (value === 0) continue
    if (f === 'ack' && confirmed.has(name)) lateConfirms++
    else
      anomalies.push({
        kind: 'unfenced',
        id,
        detail: `${process} wrote of it in ${key}, which was another's`,
      })
  }
  return { checker: 'fencedWrites', checked, anomalies, lateConfirms }
}
