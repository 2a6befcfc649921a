import type { Delivery } from '../ports/transport.ts'
import type { StreamForm } from './stream-form.ts'

/** A delivery in memory, from its receipt until everything before it in its stream is settled too. */
export interface WindowEntry {
  readonly delivery: Delivery
  /** Of its stream. */
  readonly form: StreamForm
  /** What it is kept in order with inside its stream, or `null`. */
  readonly key: string | null
  readonly isCautious: boolean
  state: 'waiting' | 'running' | 'held' | 'done' | 'dropped'
  dueAt: number
}

/**
 * What is to be done next: `batch` to be run together, `alone` one by one (a retry, or the first after an assignment), `settle`
 * before anything of it is run, `owed` was settled and is now to be run once, `broken` ones are deliveries that could not be
 * decoded.
 */
export interface Turn {
  readonly kind: 'batch' | 'alone' | 'settle' | 'owed' | 'broken'
  readonly entries: readonly WindowEntry[]
}

/** Which kind of turn an entry is for. */
export function kindOf(entry: WindowEntry, isRetry: boolean): Turn['kind'] {
  if (entry.delivery.envelope === null) return 'broken'
  if (entry.form === 'first') return 'settle'
  return isRetry || entry.isCautious ? 'alone' : 'batch'
}
