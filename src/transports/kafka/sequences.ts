interface Numbered {
  readonly producer: string
  readonly first: number
}

/**
 * The sequence numbers of an idempotent producer. The broker counts records, and the library would count what it was handed, which are
 * whole batches here. A batch that is sent again keeps its number, so that the broker knows a copy; a new producer begins at 0.
 */
export class Sequences {
  #producer = ''
  readonly #next = new Map<string, number>()
  readonly #numbered = new WeakMap<Buffer, Numbered>()

  /** Of the first of the `count` records in a batch. */
  first(producer: string, place: string, batch: Buffer, count: number): number {
    if (producer !== this.#producer) {
      this.#producer = producer
      this.#next.clear()
    }
    const numbered = this.#numbered.get(batch)
    if (numbered?.producer === producer) return numbered.first
    const first = this.#next.get(place) ?? 0
    this.#numbered.set(batch, { producer, first })
    // After 2^31 - 1 comes 0.
    this.#next.set(place, (first + count) & 0x7fffffff)
    return first
  }
}
