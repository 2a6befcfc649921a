/**
 * How many rows one statement takes. One row that the store refuses for good fails every statement that it is in: after a failure they go
 * one by one, and one that fails alone goes behind all others, so that it costs only itself.
 */
export class Portion {
  readonly #most: number
  #size: number

  constructor(most: number) {
    this.#most = most
    this.#size = most
  }

  get size(): number {
    return this.#size
  }

  succeeded(): void {
    this.#size = Math.min(this.#most, this.#size * 2)
  }

  /** What is left to do, in its order. */
  failed<T>(tried: readonly T[], rest: readonly T[]): T[] {
    this.#size = 1
    return tried.length === 1 ? [...rest, ...tried] : [...tried, ...rest]
  }
}
