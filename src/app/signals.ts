import { systemClock } from '../kernel/clock.ts'
import type { Logger } from '../kernel/logger.ts'

/** Under npx one Ctrl-C arrives twice: from the terminal, and passed on by npm. */
const sameSignalMs = 300

/** Resolves at the first SIGINT or SIGTERM, or when `signal` aborts. A second signal ends the process at once. */
export function untilSignal(
  logger: Logger,
  signal?: AbortSignal,
): { readonly promise: Promise<void>; readonly dispose: () => void } {
  const { promise, resolve } = Promise.withResolvers<void>()
  let stoppingSince: number | null = null
  const onSignal = (name: NodeJS.Signals): void => {
    if (stoppingSince !== null) {
      if (name === 'SIGINT' && systemClock.now() - stoppingSince < sameSignalMs) return
      // Its leases end by themselves and what was under way is sent once more: that is what a kill means.
      process.exit(name === 'SIGINT' ? 130 : 143)
    }
    stoppingSince = systemClock.now()
    logger.info({ signal: name }, 'stopping; once more to stop at once')
    resolve()
  }
  const onAbort = (): void => resolve()
  process.on('SIGINT', onSignal)
  process.on('SIGTERM', onSignal)
  if (signal?.aborted === true) resolve()
  signal?.addEventListener('abort', onAbort, { once: true })
  return {
    promise,
    dispose() {
      process.off('SIGINT', onSignal)
      process.off('SIGTERM', onSignal)
      signal?.removeEventListener('abort', onAbort)
    },
  }
}
