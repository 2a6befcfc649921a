import type { OutboxRow } from '../../ports/outbox.ts'
import { type Doubt, noDoubt } from './state.ts'

/** Doubts about rows that left memory, so that the next look at them starts where the last one ended. Bounded (S13). */
export class Doubts {
  readonly #most: number
  readonly #doubts = new Map<string, Doubt>()

  constructor(most: number) {
    this.#most = most
  }

  of(row: OutboxRow): Doubt {
    // Nearly always there is none, and no name to be made.
    return (this.#doubts.size > 0 ? this.#doubts.get(nameOf(row)) : undefined) ?? noDoubt
  }

  remember(row: OutboxRow, doubt: Doubt): void {
    if (this.#doubts.size >= this.#most) {
      const oldest = this.#doubts.keys().next()
      if (oldest.done !== true) this.#doubts.delete(oldest.value)
    }
    this.#doubts.set(nameOf(row), doubt)
  }

  forget(row: OutboxRow): void {
    if (this.#doubts.size > 0) this.#doubts.delete(nameOf(row))
  }
}

function nameOf({ partition, seq, id }: OutboxRow): string {
  return `${partition}/${seq}/${id}`
}
