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
