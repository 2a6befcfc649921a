import type { Fault } from './fault.ts'

export interface Pausable {
  /** SIGSTOP; resolves when it stands still. */
  pause(): Promise<void> | void
  /** SIGCONT. */
  resume(): void
}

/** SIGSTOP, and SIGCONT when it is healed: a zombie where that is longer than its lease, a hung peer for all others. */
export function pauseFault(name: string, target: Pausable): Fault {
  return {
    name: `pause ${name}`,
    async inject() {
      await target.pause()
      return {
        hasStruck: true,
        async heal() {
          target.resume()
        },
      }
    },
  }
}
