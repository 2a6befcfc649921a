/** How much of the user's own code is at work: while any is, no time may pass for anybody. */
export class Activity {
  #count = 0
  #began = 0
  #changed: PromiseWithResolvers<void> = Promise.withResolvers()

  get isIdle(): boolean {
    return this.#count === 0
  }

  /** How often something began. */
  get began(): number {
    return this.#began
  }

  /** Resolves when the next of what is at work has ended. */
  get ended(): Promise<void> {
    return this.#changed.promise
  }

  async during<T>(work: () => Promise<T>): Promise<T> {
    this.#count += 1
    this.#began += 1
    try {
      return await work()
    } finally {
      this.#count -= 1
      this.#changed.resolve()
      this.#changed = Promise.withResolvers()
    }
  }
}
