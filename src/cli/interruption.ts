import { systemClock, type Clock } from '../kernel/clock.ts'

const numbers = { SIGHUP: 1, SIGINT: 2, SIGTERM: 15 } as const
type Name = keyof typeof numbers

/** npm and npx hand a signal on that the terminal has sent to us too: the second within this time is the same Ctrl-C. */
const sameSignalMs = 300

export interface Interruption {
  /** Aborts at the first Ctrl-C, SIGTERM or hang-up. */
  readonly signal: AbortSignal
  /** What the process ends with once it has been interrupted; `undefined` until then. */
  exitCode(): number | undefined
  dispose(): void
}

export interface InterruptionParts {
  readonly exit?: (code: number) => void
  readonly clock?: Pick<Clock, 'now'>
}

/**
 * Listens for the signals that ask a command to end. A second one ends the process at once: what it started ends with it,
 * because children and servers watch their pipe from here.
 */
export function listenForInterruption(onFirst: () => void, parts: InterruptionParts = {}): Interruption {
  const { exit = (code) => process.exit(code), clock = systemClock } = parts
  const controller = new AbortController()
  let first: { readonly code: number; readonly at: number } | undefined
  const onSignal = (name: NodeJS.Signals): void => {
    const code = 128 + numbers[name as Name]
    if (first === undefined) {
      first = { code, at: clock.now() }
      onFirst()
      controller.abort()
    } else if (clock.now() - first.at > sameSignalMs) exit(code)
  }
  for (const name of Object.keys(numbers)) process.on(name, onSignal)
  return {
    signal: controller.signal,
    exitCode: () => first?.code,
    dispose() {
      for (const name of Object.keys(numbers)) process.off(name, onSignal)
    },
  }
}
