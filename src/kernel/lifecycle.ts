/**
 * `start` and `stop` in any order, any number of times, at the same moment: each waits for the other, a second call of the
 * same kind joins the first, and a stopped thing can start again (M5).
 */
export class Lifecycle {
  readonly #onStart: () => Promise<void>
  readonly #onStop: () => Promise<void>
  #state: 'stopped' | 'running' = 'stopped'
  #wanted: 'stopped' | 'running' = 'stopped'
  #current: Promise<Settled> | undefined

  constructor(onStart: () => Promise<void>, onStop: () => Promise<void>) {
    this.#onStart = onStart
    this.#onStop = onStop
  }

  get isRunning(): boolean {
    return this.#state === 'running'
  }

  /** Stopped, and nobody is about to change that. */
  get isAtRest(): boolean {
    return this.#state === 'stopped' && this.#current === undefined
  }

  /** Rejects with what kept it from starting. */
  async start(): Promise<void> {
    const { failure } = await this.#want('running')
    if (failure !== null) throw failure.reason
  }

  /** A start that fails meanwhile is no failure of the stop: what it asked for is reached. */
  async stop(): Promise<void> {
    await this.#want('stopped')
  }

  #want(state: 'stopped' | 'running'): Promise<Settled> {
    this.#wanted = state
    this.#current ??= this.#settle().finally(() => {
      this.#current = undefined
    })
    return this.#current
  }

  async #settle(): Promise<Settled> {
    let failure: Settled['failure'] = null
    while (this.#state !== this.#wanted) {
      if (this.#wanted === 'running') {
        failure = null
        try {
          await this.#onStart()
          this.#state = 'running'
        } catch (reason) {
          // What had started by then is closed again, so that a failed start leaves nothing behind.
          failure = { reason }
          this.#wanted = 'stopped'
          await this.#onStop().catch(() => {})
        }
      } else {
        this.#state = 'stopped'
        await this.#onStop()
      }
    }
    return { failure }
  }
}

interface Settled {
  /** Why the last start failed, where it did. */
  readonly failure: { readonly reason: unknown } | null
}
