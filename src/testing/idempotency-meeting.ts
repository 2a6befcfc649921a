import { systemClock, type Clock } from '../kernel/clock.ts'

export interface MeetingOptions {
  /** How long the first one waits for the other where nothing says why that one does not come. */
  readonly patienceMs: number
  /** Whether this participant waits for a lock that the other one holds; asked while the other waits for it. */
  readonly isBlocked?: ((participant: number) => Promise<boolean>) | undefined
  readonly clock?: Clock
}

const everyMs = 10

/**
 * Holds two transactions before their commits until both are there, so that neither has seen what the other wrote. One that
 * waits for a lock of the other can never come: the other is let go then, or when the one has ended.
 */
export class Meeting {
  readonly #options: MeetingOptions
  readonly #gone = new AbortController()
  #isFirstHere = false
  #hasMet = false

  constructor(options: MeetingOptions) {
    this.#options = options
  }

  /** Whether both stood before their commits at the same time. */
  get hasMet(): boolean {
    return this.#hasMet
  }

  async arrive(participant: number): Promise<void> {
    if (this.#isFirstHere) {
      // The first may have gone on without this one.
      this.#hasMet = !this.#gone.signal.aborted
      this.#gone.abort()
      return
    }
    this.#isFirstHere = true
    const { clock = systemClock, isBlocked, patienceMs } = this.#options
    const { signal } = this.#gone
    const end = clock.now() + patienceMs
    while (!signal.aborted && clock.now() < end) {
      if ((await isBlocked?.(participant === 1 ? 2 : 1)) === true) break
      await clock.sleep(everyMs, signal)
    }
    this.#gone.abort()
  }

  /** A participant has ended; nobody has to wait for it. */
  leave(): void {
    this.#gone.abort()
  }
}
