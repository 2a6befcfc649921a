interface Departure {
  readonly streams: readonly string[]
  readonly resolve: () => void
}

/** Who waits until nothing of some streams is under way any more. */
export class Departures {
  readonly #isAtRest: (stream: string) => boolean
  readonly #waiting = new Set<Departure>()
  #isOver = false

  constructor(isAtRest: (stream: string) => boolean) {
    this.#isAtRest = isAtRest
  }

  /** Resolves when a `look` finds all of them at rest, or at the `end`. */
  wait(streams: readonly string[]): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>()
    if (this.#isOver) resolve()
    else this.#waiting.add({ streams, resolve })
    this.look()
    return promise
  }

  /** To be called when something may have come to rest. */
  look(): void {
    for (const departure of this.#waiting) {
      if (!departure.streams.every(this.#isAtRest)) continue
      this.#waiting.delete(departure)
      departure.resolve()
    }
  }

  /** Nothing runs any more, and nothing will. */
  end(): void {
    this.#isOver = true
    for (const { resolve } of this.#waiting) resolve()
    this.#waiting.clear()
  }
}
