import type { Logger } from '../kernel/logger.ts'

/** Resolves at the first SIGINT or SIGTERM, or when `signal` aborts. A second signal ends the process at once. */
export function untilSignal(
  logger: Logger,
  signal?: AbortSignal,
): { readonly promise: Promise<void>; readonly dispose: () => void } {
  const { promise, resolve } = Promise.withResolvers<void>()
  let isStopping = false
  const onSignal = (name: NodeJS.Signals): void => {
    // Its leases end by themselves and what was under way is sent once more: that is what a kill means.
    if (isStopping) process.exit(name === 'SIGINT' ? 130 : 143)
    isStopping = true
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
