import type { HistoryEvent } from '../history.ts'
import { faultWindows } from './copies.ts'
import type { Anomaly, CheckResult } from './verdict.ts'
import { doneOf, writesOf } from './writes.ts'

export interface ProgressLimits {
  /** The fault, as `key` of its events names it. */
  readonly fault: string
  /** Keys that the fault does not touch. @default all */
  readonly keys?: ReadonlySet<string>
  /** Effects of those keys within each time of the fault, at least. @default 1 */
  readonly minDelta?: number
}

/** LIVE: what a fault does not touch goes on while it lasts. A time that was never healed lasts to the end of the history. */
export function progressDuring(
  history: readonly HistoryEvent[],
  { fault, keys, minDelta = 1 }: ProgressLimits,
): CheckResult {
  const windows = faultWindows(history.filter(({ f, key }) => f === 'fault' && key === fault))
  const times = doneOf(history, 'effect')
    .filter(({ key }) => keys === undefined || (key !== null && keys.has(key)))
    .map(({ t }) => t)
  const anomalies = windows.flatMap(({ from, to }): Anomaly[] => {
    const delta = times.filter((t) => t >= from && t <= to).length
    if (delta >= minDelta) return []
    return [{ kind: 'stalled', id: fault, detail: `${delta} effects while it lasted, ${minDelta} wanted` }]
  })
  return { checker: 'progressDuring', checked: windows.length, anomalies }
}

/** Two of a channel with few messages may be far apart. */
const fewestLosses = 3

/**
 * LIVE where messages may be lost and nothing marks the end of those that were: who loses all that was committed, one after the other,
 * for longer than a time does not work at all.
 */
export function lossesEnd(history: readonly HistoryEvent[], maxMs: number): CheckResult {
  const done = new Set(doneOf(history, 'effect', 'dead', 'expired', 'dropped').map(({ id }) => id))
  const committed = [...writesOf(history)]
    .filter(([, { outcome }]) => outcome === 'committed')
    .sort(([, a], [, b]) => a.from - b.from)
  const anomalies: Anomaly[] = []
  let lost: number[] = []
  for (const [id, { from }] of committed) {
    if (done.has(id)) lost = []
    else lost.push(from)
    const since = lost[0] ?? from
    if (lost.length < fewestLosses || from - since <= maxMs * 1000) continue
    const detail = `all that was committed in the ${Math.round((from - since) / 1000)} ms before it was lost too, ${maxMs} ms are allowed`
    anomalies.push({ kind: 'stalled', id, detail })
  }
  return { checker: 'lossesEnd', checked: committed.length, anomalies }
}

export interface Recovery extends CheckResult {
  /** From the end of the last fault to the last end of a message that was written before; in milliseconds. `null`: nothing to tell. */
  readonly recoveryMs: number | null
}

/**
 * LIVE: after the last fault has ended, what was committed before that comes to its end within a time. What never does is `lost`,
 * which is other checkers' to say.
 */
export function recoveryTime(history: readonly HistoryEvent[], maxMs: number): Recovery {
  const windows = faultWindows(history)
  const nothing = { checker: 'recoveryTime', checked: 0, anomalies: [], recoveryMs: null }
  if (windows.length === 0) return nothing
  const healed = Math.max(...windows.map(({ from, to }) => (to === Infinity ? from : to)))
  const writes = writesOf(history)
  const waiting = new Map<string, number>()
  for (const { id, t } of doneOf(history, 'effect', 'dead', 'expired', 'dropped')) {
    const write = writes.get(id)
    if (write?.outcome === 'committed' && write.from <= healed && !waiting.has(id)) waiting.set(id, t)
  }
  if (waiting.size === 0) return nothing
  let [last, lastId] = [-Infinity, '']
  for (const [id, t] of waiting) if (t > last) [last, lastId] = [t, id]
  const recoveryMs = Math.max(0, (last - healed) / 1000)
  const detail = `it came to its end ${Math.round(recoveryMs)} ms after the last fault, ${maxMs} ms are allowed`
  const anomalies: Anomaly[] = recoveryMs > maxMs ? [{ kind: 'stalled', id: lastId, detail }] : []
  return { checker: 'recoveryTime', checked: waiting.size, anomalies, recoveryMs }
}
