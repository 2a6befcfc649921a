import type { Clock } from '../kernel/clock.ts'

/** Longest single sleep; what waits looks again after it. Timers cannot hold much more than 24 days. */
const longestMs = 60_000

/**
 * A sticky flag to wait for: one that is set between "nothing found" and "going to sleep" is not lost (PROTOCOLS 8). For
 * one waiter.
 */
export class Wake {
  readonly #clock: Clock
  #isSet = false
  #sleep: AbortController | undefined

  constructor(clock: Clock) {
    this.#clock = clock
  }

  set(): void {
    this.#isSet = true
    this.#sleep?.abort()
  }

  /** Resolves when the flag is or was set, after `ms`, or when `signal` aborts; never rejects. Clears the flag. */
  async wait(ms: number, signal: AbortSignal): Promise<void> {
    if (!this.#isSet && !signal.aborted) {
      const sleep = (this.#sleep = new AbortController())
      const end = (): void => {
        sleep.abort()
      }
      signal.addEventListener('abort', end, { once: true })
      await this.#clock.sleep(Math.min(ms, longestMs), sleep.signal)
      signal.removeEventListener('abort', end)
    }
    this.#isSet = false
  }
}
