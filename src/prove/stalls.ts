import type { HistoryEvent } from '../testing.ts'

/** A time in which a process stood still although nobody had stopped it; in microseconds of the history's clock. */
export interface Stall {
  readonly from: number
  readonly to: number
}

const everyMs = 100
/** Shorter ones end no lease and no session. */
const leastMs = 800

/** Tells, once it goes on, that this process got no turn for a while. It does not keep the process alive. */
export function noticeStalls(tell: (ms: number) => void): Disposable {
  let last = performance.now()
  const timer = setInterval(() => {
    const stood = performance.now() - last - everyMs
    last += stood + everyMs
    if (stood >= leastMs) tell(stood)
  }, everyMs)
  timer.unref()
  return {
    [Symbol.dispose]: () => {
      clearInterval(timer)
    },
  }
}

/** The same of a server: looks at it, which takes it milliseconds, and tells where one took as long, or failed after that. */
export async function noticeSlow(
  look: () => Promise<void>,
  tell: (ms: number) => void,
  clock: () => number = () => performance.now(),
): Promise<void> {
  const began = clock()
  await look().catch(() => {})
  const took = clock() - began
  if (took >= leastMs) tell(took)
}

/** As an event that is noted where one is noticed. */
export const stallMark = 'stall'

export function stallsOf(history: readonly HistoryEvent[]): readonly Stall[] {
  return history.flatMap(({ f, key, value, t }) =>
    f === 'fault' && key === stallMark && value !== undefined ? [{ from: t - value * 1000, to: t }] : [],
  )
}
