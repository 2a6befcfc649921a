import type { HistoryEvent, HistoryOperation } from '../history.ts'
import type { Anomaly, CheckResult } from './verdict.ts'
import { doneOf, writesOf } from './writes.ts'

/**
 * At the end the numbers of each key, which begin with 1, have no gap up to the highest one seen. Finds what no list of writes tells: a
 * writer's own history may miss a message, its numbers do not. For histories in which the number of what rolled back is given again.
 */
export function contiguous(history: readonly HistoryEvent[], f: HistoryOperation = 'effect'): CheckResult {
  const writes = writesOf(history)
  const ids = new Map([...writes].map(([id, { key, seq }]) => [`${key} ${seq}`, id]))
  const seen = new Map<string, Set<number>>()
  // What became a dead letter, expired or was dropped is no gap.
  for (const event of doneOf(history, f, 'dead', 'expired', 'dropped')) {
    const write = writes.get(event.id)
    if (write?.outcome === 'rolled-back') continue
    // The write's own key: the store tells of a dead letter by another name of it, and its number would fill no gap there.
    const key = write?.key ?? event.key
    const seq = event.seq ?? write?.seq ?? null
    if (key !== null && seq !== null) seen.set(key, (seen.get(key) ?? new Set()).add(seq))
  }
  const anomalies: Anomaly[] = []
  let checked = 0
  for (const [key, numbers] of seen) {
    checked += numbers.size
    // Spread over the arguments of one call, a hundred thousand numbers of a key would exceed the stack.
    let highest = 0
    for (const seq of numbers) if (seq > highest) highest = seq
    for (let seq = 1; seq < highest; seq++) {
      if (numbers.has(seq)) continue
      const id = ids.get(`${key} ${seq}`) ?? `${key} ${seq}`
      anomalies.push({ kind: 'lost', id, detail: `number ${seq} of its key is missing below ${highest}` })
    }
  }
  return { checker: 'contiguous', checked, anomalies }
}

export type LostShape = 'none' | 'prefix' | 'middle' | 'postfix' | 'everything'

/** Where in the order of writing the lost ones stand: a cursor that jumped loses a prefix or a middle, a relay that stopped a postfix. */
export function lostShape(history: readonly HistoryEvent[], lost: readonly string[]): LostShape {
  const committed = [...writesOf(history)]
    .filter(([, { outcome }]) => outcome === 'committed')
    .map(([id]) => id)
  const missing = new Set(lost)
  const places = committed.flatMap((id, place) => (missing.has(id) ? [place] : []))
  if (places.length === 0) return 'none'
  if (places.length === committed.length) return 'everything'
  if (places.at(-1)! < places.length) return 'prefix'
  return places[0]! >= committed.length - places.length ? 'postfix' : 'middle'
}
