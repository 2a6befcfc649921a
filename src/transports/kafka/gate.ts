import { systemClock } from '../../kernel/clock.ts'

/** A word that something has changed. One that is given while nobody waits is kept for the next who does. */
export class Gate {
  #isOpen = false
  #waiting: AbortController | undefined

  open(): void {
    this.#isOpen = true
    this.#waiting?.abort()
  }

  /** Resolves when it was opened, after `ms`, or when one of `signals` aborts. One waits at a time. */
  async wait(ms: number, ...signals: readonly AbortSignal[]): Promise<void> {
    if (!this.#isOpen && !signals.some(({ aborted }) => aborted)) {
      const waiting = new AbortController()
      this.#waiting = waiting
      const wake = (): void => waiting.abort()
      for (const signal of signals) signal.addEventListener('abort', wake, { once: true })
      await systemClock.sleep(ms, waiting.signal)
      for (const signal of signals) signal.removeEventListener('abort', wake)
      this.#waiting = undefined
    }
    this.#isOpen = false
  }
}
