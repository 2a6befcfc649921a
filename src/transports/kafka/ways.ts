import type { Clock } from '../../kernel/clock.ts'

/** What is asked of the library's connection. */
export interface Way {
  isConnected(): boolean
  once(event: 'close', listener: () => void): unknown
}

/** What a lost connection still holds has come after this time, or nobody knows when it will. */
const mostLateMs = 60_000

/** The connection over which something was last sent to each partition. */
export class Ways {
  readonly #clock: Clock
  readonly #last = new Map<string, Map<number, Way>>()
  readonly #lostAt = new WeakMap<Way, number>()

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** Whether anything was sent to this topic. */
  has(topic: string): boolean {
    return this.#last.has(topic)
  }

  /** Whether one of the partitions had another way before; from now on it is this one. */
  areLeft(topic: string, partitions: Iterable<number>, way: Way): boolean {
    let last = this.#last.get(topic)
    if (last === undefined) this.#last.set(topic, (last = new Map<number, Way>()))
    let isLeft = false
    for (const partition of partitions) {
      const before = last.get(partition)
      if (before === way) continue
      isLeft ||= before !== undefined
      last.set(partition, way)
      this.#watch(way)
    }
    return isLeft
  }

  /** Whether none of a topic's was lost a short while ago. */
  areOpen(topic: string): boolean {
    const now = this.#clock.now()
    for (const way of this.#last.get(topic)?.values() ?? []) {
      if (!way.isConnected() && now - (this.#lostAt.get(way) ?? now) < mostLateMs) return false
    }
    return true
  }

  #watch(way: Way): void {
    if (this.#lostAt.has(way)) return
    this.#lostAt.set(way, Infinity)
    way.once('close', () => {
      this.#lostAt.set(way, this.#clock.now())
    })
  }
}
