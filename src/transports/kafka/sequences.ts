interface Numbered {
  readonly producer: string
  readonly first: number
}

/** Of the last so many producers the numbers are known: an old one is met again only in a send that began under it. */
const mostProducers = 8

/**
 * The sequence numbers of an idempotent producer. The broker counts records, and the library would count what it was handed, which are
 * whole batches here. A batch that is sent again keeps its number, so that the broker knows a copy; a new producer begins at 0. The
 * library takes a new one while requests of the old one to other brokers are tried again: numbers that then began anew would be those of a
 * batch that is in the log, and the broker would confirm it as a copy and write nothing.
 */
export class Sequences {
  readonly #next = new Map<string, Map<string, number>>()
  readonly #numbered = new WeakMap<Buffer, Numbered>()

  /** Of the first of the `count` records in a batch. */
  first(producer: string, place: string, batch: Buffer, count: number): number {
    const numbered = this.#numbered.get(batch)
    if (numbered?.producer === producer) return numbered.first
    const next = this.#of(producer)
    const first = next.get(place) ?? 0
    this.#numbered.set(batch, { producer, first })
    // After 2^31 - 1 comes 0.
    next.set(place, (first + count) & 0x7fffffff)
    return first
  }

  #of(producer: string): Map<string, number> {
    let next = this.#next.get(producer)
    if (next === undefined) {
      next = new Map()
      this.#next.set(producer, next)
      const [oldest] = this.#next.keys()
      if (this.#next.size > mostProducers) this.#next.delete(oldest!)
    }
    return next
  }
}
