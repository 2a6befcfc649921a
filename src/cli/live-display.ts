import { createLogUpdate } from 'log-update'
import { systemClock, type Clock } from '../kernel/clock.ts'
import type { Colors, Output } from './output.ts'

export interface LiveDisplay<View> {
  show(view: View): void
  /** Takes the live view away; what comes after stands in its place. */
  end(): void
}

export interface Shown<View> {
  /** On a terminal, painted anew each time. */
  readonly live: (view: View, colors: Colors) => string
  /** Elsewhere: a line on stderr whenever `what` has changed, and every so many milliseconds. */
  readonly line: (view: View) => string
  readonly what: (view: View) => string
  readonly everyMs: number
}

/** What somebody who watches a command at work gets to see. */
export function createLiveDisplay<View>(
  output: Output,
  { live, line, what, everyMs }: Shown<View>,
  clock: Pick<Clock, 'now'> = systemClock,
): LiveDisplay<View> {
  if (!output.isLive) {
    let last: string | null = null
    let due = 0
    return {
      show(view) {
        const now = what(view)
        if (now === last && clock.now() < due) return
        last = now
        due = clock.now() + everyMs
        output.note(line(view))
      },
      end() {},
    }
  }
  const paint = createLogUpdate(process.stderr)
  return {
    show(view) {
      paint(live(view, output.errorColors))
    },
    end() {
      paint.clear()
      paint.done()
    },
  }
}
