import type { HistoryEvent } from '../testing.ts'

/** A time in which a process stood still although nobody had stopped it; in microseconds of the history's clock. */
export interface Stall {
  readonly from: number
  readonly to: number
  readonly process: string
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
  return history.flatMap(({ f, key, value, t, process }) =>
    f === 'fault' && key === stallMark && value !== undefined
      ? [{ from: t - value * 1000, to: t, process }]
      : [],
  )
}

/** As long as a handler of a run may take, and five times as long as a relay sleeps at most. */
const mostWaitUs = 1_000_000

/**
 * Whether a message that was committed between the two times waited so long for its handler. Where no fault is the reason, the machine
 * does not carry the load of the run: a batch of handlers reaches the end of its time there, and each of them begins again.
 */
export function fellBehind(history: readonly HistoryEvent[], from: number, to: number): boolean {
  const committed = new Map<string, number>()
  const begun = new Set<string>()
  for (const { id, f, type, t } of history) {
    if (id === null) continue
    if (f === 'write' && type === 'ok' && t >= from && t <= to) committed.set(id, t)
    if (f !== 'handle' || type !== 'invoke' || begun.has(id)) continue
    begun.add(id)
    const at = committed.get(id)
    if (at !== undefined && t - at > mostWaitUs) return true
  }
  return false
}
