import type { Fate } from '../../ports/transport.ts'
import type { OutgoingRecord } from './record.ts'
import type { PlacedRecord } from './sends.ts'

/** What one call of `publish` brought, and what became of it. */
export class PublishCall {
  readonly fates: (Fate | undefined)[]
  readonly #done = Promise.withResolvers<void>()
  #open: number

  constructor(size: number) {
    this.fates = Array.from({ length: size }, () => undefined)
    this.#open = size
    if (size === 0) this.#done.resolve()
  }

  /** Resolves when each message has its fate. */
  get done(): Promise<void> {
    return this.#done.promise
  }

  get isDone(): boolean {
    return this.#open === 0
  }

  /** The first word counts. */
  settle(index: number, fate: Fate): void {
    if (this.fates[index] !== undefined) return
    this.fates[index] = fate
    this.#open -= 1
    if (this.#open === 0) this.#done.resolve()
  }
}

/** A message on its way, and the call it belongs to. */
export interface Entry extends PlacedRecord {
  readonly record: OutgoingRecord
  /** `null` where there is no order to keep. */
  readonly key: string | null
  readonly call: PublishCall
  readonly index: number
  /** Set as its topic is found. */
  partition: number
  /** Parts of a refused batch are sent apart from everything else. */
  group: object | undefined
}

/** What keeps its order: a key in a topic. */
export function orderOf(topic: string, key: string): string {
  return `${topic}\0${key}`
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

  /** Takes all out for which `which` holds, in their order. */
  remove(which: (entry: Entry) => boolean): Entry[] {
    const removed = this.#entries.filter(which)
    if (removed.length > 0) this.#entries = this.#entries.filter((entry) => !which(entry))
    return removed
  }

  /** Puts entries back before everything else, in their order. */
  putBack(entries: readonly Entry[]): void {
    this.#entries = [...entries, ...this.#entries]
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
    for (const { call, index } of this.remove(which)) call.settle(index, fate)
  }
}
