/** Runs in a row, besides twice its attempts, that a message may end without success: RetryLater counts as no attempt. */
const mostRuns = 1000

/** A message that is run for ever, as far as anybody can tell. */
export interface EndlessMessage {
  readonly id: string
  readonly channel: string
  readonly runs: number
}

/**
 * How often each message has failed in a row. In time that is not waited for, a day of short pauses is millions of runs: long before its
 * end whoever wrote the test takes `deliver` for hanging.
 */
export class FailingRuns {
  readonly #counts = new Map<string, number>()
  #endless: EndlessMessage | undefined

  /** By the message's idempotency key at its consumer. */
  succeeded(name: string): void {
    this.#counts.delete(name)
  }

  failed(name: string, { id, channel }: Omit<EndlessMessage, 'runs'>, maxAttempts: number): void {
    const runs = (this.#counts.get(name) ?? 0) + 1
    this.#counts.set(name, runs)
    // Twice: a batch that fails is redone one by one.
    if (runs > mostRuns + 2 * maxAttempts) this.#endless ??= { id, channel, runs }
  }

  /** The first that was run too often since the last call. */
  takeEndless(): EndlessMessage | undefined {
    const endless = this.#endless
    this.#endless = undefined
    if (endless !== undefined) this.#counts.clear()
    return endless
  }
}
