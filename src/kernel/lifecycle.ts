/**
 * `start` and `stop` in any order, any number of times, at the same moment: each waits for the other, a second call of the
 * same kind joins the first, and a stopped thing can start again (M5).
 */
export class Lifecycle {
  readonly #onStart: () => Promise<void>
  readonly #onStop: () => Promise<void>
  #state: 'stopped' | 'running' = 'stopped'
  #wanted: 'stopped' | 'running' = 'stopped'
  #current: Promise<void> | undefined

  constructor(onStart: () => Promise<void>, onStop: () => Promise<void>) {
    this.#onStart = onStart
    this.#onStop = onStop
  }

  get isRunning(): boolean {
    return this.#state === 'running'
  }

  start(): Promise<void> {
    return this.#want('running')
  }

  stop(): Promise<void> {
    return this.#want('stopped')
  }

  #want(state: 'stopped' | 'running'): Promise<void> {
    this.#wanted = state
    this.#current ??= this.#settle().finally(() => {
      this.#current = undefined
    })
    return this.#current
  }

  async #settle(): Promise<void> {
    while (this.#state !== this.#wanted) {
      if (this.#wanted === 'running') {
        try {
          await this.#onStart()
        } catch (error) {
          // What had started by then is closed again, so that a failed start leaves nothing behind.
          this.#wanted = 'stopped'
          await this.#onStop().catch(() => {})
          throw error
        }
        this.#state = 'running'
      } else {
        this.#state = 'stopped'
        await this.#onStop()
      }
    }
  }
}
