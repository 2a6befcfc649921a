import { gaveUp, timedOut } from './deadline.ts'

interface Call {
  readonly dueAt: number
  readonly limitMs: number
  readonly what: () => string
  readonly fail: (error: Error) => void
}

/**
 * {@link withDeadline} for calls that follow each other, with one timer and one listener for all of them: a pair of both for each
 * costs more than most calls do. What is not waited for costs nothing. To be ended after the last call.
 */
export class Deadlines {
  readonly #signal: AbortSignal
  #call: Call | undefined
  #timer: NodeJS.Timeout | undefined
  #firesAt = Infinity

  constructor(signal: AbortSignal) {
    this.#signal = signal
    signal.addEventListener('abort', this.#onAbort, { once: true })
  }

  /** Runs `work`, whose time begins with its first line. Throws, or rejects, at once where the signal has aborted. */
  run(work: () => PromiseLike<void> | void, limitMs: number, what: () => string): Promise<void> | void {
    if (this.#signal.aborted) throw gaveUp(what())
    const dueAt = performance.now() + limitMs
    const running = work()
    if (typeof running?.then !== 'function') return
    return new Promise((resolve, reject) => {
      const call = (this.#call = { dueAt, limitMs, what, fail: reject })
      // Over before anything was waited for: a timer would come after what its caller has ready for the next turn.
      if (performance.now() >= dueAt) setImmediate(() => call.fail(timedOut(what(), limitMs)))
      else this.#arm(dueAt)
      // A late end is nobody's any more.
      running.then(resolve, reject)
      if (this.#signal.aborted) this.#onAbort()
    })
  }

  end(): void {
    clearTimeout(this.#timer)
    this.#signal.removeEventListener('abort', this.#onAbort)
  }

  /** One that fires too early, for a call that has ended meanwhile, is set anew; so a call in time sets none. */
  #arm(dueAt: number): void {
    if (this.#firesAt <= dueAt) return
    clearTimeout(this.#timer)
    this.#firesAt = dueAt
    this.#timer = setTimeout(this.#onTime, Math.max(0, dueAt - performance.now()))
  }

  readonly #onTime = (): void => {
    this.#firesAt = Infinity
    const call = this.#call
    if (call === undefined) return
    // Timers may fire a millisecond early.
    if (performance.now() + 1 >= call.dueAt) call.fail(timedOut(call.what(), call.limitMs))
    else this.#arm(call.dueAt)
  }

  readonly #onAbort = (): void => {
    const call = this.#call
    if (call !== undefined) call.fail(gaveUp(call.what()))
  }
}
