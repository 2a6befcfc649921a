interface Waiter<T> {
  readonly accepts: (item: T) => boolean
  readonly resolve: (item: T) => void
  readonly reject: (reason: Error) => void
}

/** A stream of items that can be waited on after the fact: `first` also looks at what came before it was called. */
export class Waiters<T> {
  readonly seen: T[] = []
  readonly #waiting = new Set<Waiter<T>>()
  #ended: Error | undefined

  add(item: T): void {
    this.seen.push(item)
    for (const waiter of [...this.#waiting]) {
      if (!waiter.accepts(item)) continue
      this.#waiting.delete(waiter)
      waiter.resolve(item)
    }
  }

  first(accepts: (item: T) => boolean): Promise<T> {
    const { promise, resolve, reject } = Promise.withResolvers<T>()
    const index = this.seen.findIndex(accepts)
    if (index >= 0) resolve(this.seen[index]!)
    else if (this.#ended !== undefined) reject(this.#ended)
    else this.#waiting.add({ accepts, resolve, reject })
    return promise
  }

  /** Nothing more will come: who still waits, and who asks for what did not come, is rejected. */
  close(reason: Error): void {
    this.#ended = reason
    for (const waiter of this.#waiting) waiter.reject(reason)
    this.#waiting.clear()
  }
}
