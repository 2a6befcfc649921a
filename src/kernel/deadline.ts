import { WaybillError } from './errors.ts'

/**
 * `work`, or a `WB_TIMED_OUT` error after `ms`, or the signal's reason when it aborts first. The work itself is not
 * stopped: pass it a signal of its own where it can be. A late rejection of it is swallowed, because it was reported as
 * timed out already.
 */
export async function withDeadline<T>(
  work: Promise<T>,
  ms: number,
  what: string,
  signal?: AbortSignal,
): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  let onAbort: (() => void) | undefined
  const limit = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      reject(timedOut(what, ms))
    }, ms)
    if (signal !== undefined) {
      onAbort = () => {
        reject(gaveUp(what))
      }
      if (signal.aborted) onAbort()
      else signal.addEventListener('abort', onAbort, { once: true })
    }
  })
  try {
    return await Promise.race([work, limit])
  } finally {
    clearTimeout(timer)
    if (onAbort !== undefined) signal?.removeEventListener('abort', onAbort)
    work.catch(() => {})
  }
}

export function timedOut(what: string, ms: number): WaybillError {
  return new WaybillError('WB_TIMED_OUT', `${what} did not answer within ${ms} ms.`, { retryable: 'unknown' })
}

export function gaveUp(what: string): WaybillError {
  return new WaybillError('WB_ABORTED', `${what} was given up: stopping.`, { retryable: 'unknown' })
}
