import { systemClock } from '../kernel/clock.ts'
import { WaybillError } from '../kernel/errors.ts'

export interface UntilOptions {
  /** @default 60000 */
  readonly timeoutMs?: number
  /** @default 10 */
  readonly everyMs?: number
  readonly signal?: AbortSignal
}

/**
 * Looks again and again until `check` answers with something other than `false` or `undefined`, and returns that. For what
 * sends no signal of its own: a process that is gone, a port that answers.
 *
 * Throws `WB_TIMED_OUT` after `timeoutMs`, `WB_ABORTED` when the signal aborts; what `check` throws goes through.
 */
export async function until<T>(
  what: string,
  check: () => T | false | undefined | Promise<T | false | undefined>,
  options: UntilOptions = {},
): Promise<T> {
  const { timeoutMs = 60_000, everyMs = 10, signal } = options
  const end = systemClock.now() + timeoutMs
  for (;;) {
    if (signal?.aborted === true) throw new WaybillError('WB_ABORTED', `Waiting for ${what} was given up.`)
    const found = await check()
    if (found !== false && found !== undefined) return found
    if (systemClock.now() > end) {
      throw new WaybillError('WB_TIMED_OUT', `${what} did not come about within ${timeoutMs} ms.`)
    }
    await systemClock.sleep(everyMs, signal)
  }
}
