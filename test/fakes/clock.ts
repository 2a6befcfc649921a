import type { Clock } from '../../src/kernel/clock.ts'

/** Time that passes only when somebody sleeps: a sleep is over at once, and the clock is that much later. */
export class FakeClock implements Clock {
  time = 0
  readonly slept: number[] = []

  now(): number {
    return this.time
  }

  async sleep(ms: number, signal?: AbortSignal): Promise<void> {
    this.slept.push(ms)
    // A turn of the event loop, so that a loop that only sleeps still lets others come to work.
    await new Promise((resolve) => setImmediate(resolve))
    if (signal?.aborted !== true) this.time += ms
  }
}

/** Time that jumps to the end of the earliest sleep whenever everybody waits: several sleeps end in their order. */
export class VirtualClock implements Clock {
  time = 0
  readonly #sleepers: { readonly until: number; readonly wake: () => void }[] = []
  #isTicking = false

  now(): number {
    return this.time
  }

  sleep(ms: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      if (signal?.aborted === true) {
        resolve()
        return
      }
      const sleeper = { until: this.time + ms, wake: resolve }
      this.#sleepers.push(sleeper)
      signal?.addEventListener(
        'abort',
        () => {
          const at = this.#sleepers.indexOf(sleeper)
          if (at >= 0) this.#sleepers.splice(at, 1)
          resolve()
        },
        { once: true },
      )
      this.#tick()
    })
  }

  #tick(): void {
    if (this.#isTicking) return
    this.#isTicking = true
    // A turn of the event loop: whoever can still do something now does it first.
    setImmediate(() => {
      this.#isTicking = false
      const until = Math.min(...this.#sleepers.map((sleeper) => sleeper.until))
      if (until === Infinity) return
      this.time = Math.max(this.time, until)
      const at = this.#sleepers.findIndex((sleeper) => sleeper.until === until)
      this.#sleepers.splice(at, 1)[0]!.wake()
      this.#tick()
    })
  }
}
