import type { HandlerTable } from './handler.ts'
import type { StreamWindow, TurnLimits } from './stream-window.ts'
import type { WindowEntry } from './window-entry.ts'

/** Who may run beside whom: turns under way, in all and of each channel. */
export class Slots {
  /** Turns at one time, at most: what the channel with the most asks for. */
  readonly count: number
  readonly #handlers: HandlerTable
  readonly #running = new Map<string, number>()
  #busy = 0

  /** Turns that are under way. */
  get busy(): number {
    return this.#busy
  }

  constructor(handlers: HandlerTable) {
    this.#handlers = handlers
    this.count = Math.max(1, ...[...handlers.values()].map(({ concurrency }) => concurrency ?? 1))
  }

  /** Whether as many turns with messages of its channel are under way as may be. */
  readonly #isFull = ({ delivery: { envelope } }: WindowEntry): boolean => {
    if (envelope === null) return false
    const limit = this.#handlers.get(envelope.channel)?.concurrency ?? 1
    return (this.#running.get(envelope.channel) ?? 0) >= limit
  }

  /** What the next turn may have of a window, so that the other slots that are free get their share of it. */
  limits(window: StreamWindow): TurnLimits {
    if (this.count === 1) return { isFull: this.#isFull }
    const free = Math.max(1, this.count - this.#busy)
    return { isFull: this.#isFull, mostHeads: Math.ceil(window.headsOf(this.#isFull) / free) }
  }

  async during<T>(entries: readonly WindowEntry[], work: () => Promise<T>): Promise<T> {
    if (entries.length === 0) return await work()
    const channels = new Set(entries.map(({ delivery }) => delivery.envelope?.channel ?? ''))
    this.#busy += 1
    for (const channel of channels) this.#running.set(channel, (this.#running.get(channel) ?? 0) + 1)
    try {
      return await work()
    } finally {
      this.#busy -= 1
      for (const channel of channels) this.#running.set(channel, this.#running.get(channel)! - 1)
    }
  }
}
