import type { Clock } from '../../kernel/clock.ts'

interface Sleeper {
  readonly until: number
  readonly wake: () => void
}

/** Time that moves only when it is told to, from the end of one sleep to that of the next; it keeps no process alive. */
export class StandingClock implements Clock {
  readonly #sleepers = new Set<Sleeper>()
  #time = 0

  now(): number {
    return this.#time
  }

  sleep(ms: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      if (signal?.aborted === true) {
        resolve()
        return
      }
      const wake = (): void => {
        this.#sleepers.delete(sleeper)
        signal?.removeEventListener('abort', wake)
        resolve()
      }
      const sleeper: Sleeper = { until: this.#time + ms, wake }
      this.#sleepers.add(sleeper)
      signal?.addEventListener('abort', wake, { once: true })
    })
  }

  /** Moves on to where the next sleep ends. `false`: nobody sleeps, or until later than `limit`; time stands then. */
  advance(limit: number): boolean {
    let next: Sleeper | undefined
    for (const sleeper of this.#sleepers) if (next === undefined || sleeper.until < next.until) next = sleeper
    if (next === undefined || next.until > limit) return false
    this.#time = Math.max(this.#time, next.until)
    next.wake()
    return true
  }
}
