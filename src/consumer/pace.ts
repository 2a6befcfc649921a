/** How long a transaction of several messages should take at most, in milliseconds: what fails is redone, and locks are held. */
const goalMs = 500
/** So many before anything is known: the handler may be a slow one. */
const first = 8

/**
 * How many messages fit into one transaction, by what those before them took. A transaction that the end of its send cuts off is
 * rolled back, and its handlers have run in vain.
 */
export class Pace {
  readonly #most: number
  #msEach: number | null = null

  /** @param most whatever the time */
  constructor(most: number) {
    this.#most = most
  }

  /** 0: not even one fits into half of the time that is left, which may be less than none where a process was late. */
  fits(leftMs: number): number {
    if (this.#msEach === null) return leftMs > 0 ? Math.min(first, this.#most) : 0
    return Math.min(this.#most, Math.floor(Math.min(goalMs, Math.max(0, leftMs) / 2) / this.#msEach))
  }

  /** Into a send with all its time before it: one at least, or a handler that takes longer would never be called. */
  fitsFirst(leftMs: number): number {
    return Math.max(1, this.fits(leftMs))
  }

  took(messages: number, ms: number): void {
    this.#msEach = ms / messages
  }

  /** So many were begun and cut off: it is not known how long they would have taken. At most half as many the next time. */
  wasCut(messages: number, ms: number): void {
    this.#msEach = Math.max(ms, goalMs) / Math.max(1, messages / 2)
  }
}
