import type { RowRef } from '../../ports/outbox.ts'
import type { Entry } from './state.ts'

/**
 * The rows of a partition that are known, by number and id. Found by id, which is there as text already: a name made of both
 * would be one more text to make, and to keep, for each row. Rows of one id (a replay's beside the old one, or another history's) are
 * linked.
 */
export class Entries {
  readonly #byId = new Map<string, Entry>()

  get({ id, seq }: Pick<RowRef, 'id' | 'seq'>): Entry | null {
    let entry = this.#byId.get(id) ?? null
    while (entry !== null && entry.row.seq !== seq) entry = entry.sameId
    return entry
  }

  /** One that is not there yet. */
  add(entry: Entry): void {
    entry.sameId = this.#byId.get(entry.row.id) ?? null
    this.#byId.set(entry.row.id, entry)
  }

  delete(entry: Entry): void {
    const { id } = entry.row
    const first = this.#byId.get(id)
    if (first === entry) {
      if (entry.sameId === null) this.#byId.delete(id)
      else this.#byId.set(id, entry.sameId)
      return
    }
    for (let each = first ?? null; each !== null; each = each.sameId)
      if (each.sameId === entry) each.sameId = entry.sameId
  }

  clear(): void {
    this.#byId.clear()
  }

  *values(): Iterable<Entry> {
    for (const first of this.#byId.values())
      for (let entry: Entry | null = first; entry !== null;) {
        // It may be deleted by whoever looks at it.
        const next: Entry | null = entry.sameId
        yield entry
        entry = next
      }
  }
}
