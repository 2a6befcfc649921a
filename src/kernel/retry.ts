import type { Random } from './clock.ts'

export interface Backoff {
  readonly initialMs: number
  readonly maxMs: number
}

/**
 * The pause before the next try after `failures` failures in a row: exponential, capped, half of it jitter. Total for any
 * count: after days of retries it is still `maxMs`, never Infinity or NaN (O3).
 */
export function backoffMs(failures: number, backoff: Backoff, random: Random): number {
  const doublings = Math.min(Math.max(failures - 1, 0), 30)
  const ceiling = Math.min(backoff.initialMs * 2 ** doublings, backoff.maxMs)
  return Math.round(ceiling / 2 + (ceiling / 2) * random())
}
