/**
 * Time as Waybill sees it. Monotonic, so a jump of the wall clock moves no deadline; what must agree between processes
 * is judged by the database's clock instead (R2).
 */
export interface Clock {
  /** Milliseconds since some fixed moment; never goes back. */
  now(): number
  /** Resolves after `ms`, or at once when `signal` aborts. Never rejects: the caller looks at the signal. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>
}

/**
 * The reason of an abort that only ends a sleep. Without a reason a DOMException is made, with a stack: that takes longer than all
 * else about a sleep.
 */
export const awake: unique symbol = Symbol('awake')

/** A number from 0 (included) to 1 (excluded). */
export type Random = () => number

export const systemRandom: Random = Math.random

export const systemClock: Clock = {
  now: () => performance.now(),
  sleep: (ms, signal) =>
    new Promise((resolve) => {
      if (signal?.aborted === true) {
        resolve()
        return
      }
      const done = (): void => {
        clearTimeout(timer)
        signal?.removeEventListener('abort', done)
        resolve()
      }
      const timer = setTimeout(done, ms)
      signal?.addEventListener('abort', done, { once: true })
    }),
}
