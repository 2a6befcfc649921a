import type { Fate } from '../../ports/transport.ts'
import type { OutgoingRecord } from './record.ts'

/** A message on its way, and the call it belongs to. */
export interface Entry {
  readonly record: OutgoingRecord
  /** Topic and key; `null` where there is no order to keep. */
  readonly orderKey: string | null
  readonly call: object
  readonly settle: (fate: Fate) => void
  partition: number
  /** Parts of a refused batch are sent apart from everything else. */
  group: object | undefined
}

/** What waits for its lane, in the order in which it came. */
export class Backlog {
  #entries: Entry[] = []

  get isEmpty(): boolean {
    return this.#entries.length === 0
  }

  push(entries: readonly Entry[]): void {
    for (const entry of entries) this.#entries.push(entry)
  }

  /** The next that may go together: up to `maxBytes`, one at least. */
  take(maxBytes: number): Entry[] {
    const group = this.#entries[0]?.group
    let bytes = 0
    let count = 0
    for (const entry of this.#entries) {
      bytes += entry.record.bytes
      if (entry.group !== group || (count > 0 && bytes > maxBytes)) break
      count += 1
    }
    return this.#entries.splice(0, count)
  }

  /** Puts a batch back before everything else, in its order, to go in two parts. */
  putBackHalved(entries: readonly Entry[]): void {
    const half = entries.length >> 1
    for (const part of [entries.slice(half), entries.slice(0, half)]) {
      const group = {}
      for (const entry of part) entry.group = group
      this.#entries.unshift(...part)
    }
  }

  /** Settles those for which `which` holds, unsent. */
  drop(which: (entry: Entry) => boolean, fate: Fate): void {
    const dropped = this.#entries.filter(which)
    if (dropped.length === 0) return
    this.#entries = this.#entries.filter((entry) => !which(entry))
    for (const entry of dropped) entry.settle(fate)
  }
}
