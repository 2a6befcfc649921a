import { setTimeout as pause } from 'node:timers/promises'
import { isWaybillError } from '../kernel/errors.ts'

/** A server that was started a moment ago, or is at the end of a fault, needs no longer. */
const mostMs = 30_000
const everyMs = 200

/**
 * Starts it, again and again where it fails for what may pass. Whoever deploys a service has it started again by a supervisor; here that
 * would pass for a process that ends by itself.
 */
export async function startPatiently(
  start: () => Promise<void>,
  clock: { now(): number; sleep(ms: number): Promise<unknown> } = {
    now: () => performance.now(),
    sleep: (ms) => pause(ms),
  },
): Promise<void> {
  const end = clock.now() + mostMs
  for (;;) {
    try {
      await start()
      return
    } catch (error) {
      const mayPass = isWaybillError(error) && error.retryable !== 'no'
      if (!mayPass || clock.now() >= end) throw error
      await clock.sleep(everyMs)
    }
  }
}
