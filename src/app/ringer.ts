import type { Clock } from '../kernel/clock.ts'
import { describeError } from '../kernel/errors.ts'
import type { Logger } from '../kernel/logger.ts'
import type { Bell, News } from '../ports/bell.ts'

/** NOTIFY takes a lock of the whole database cluster at its commit (W7), so a process rings this rarely at most. */
export const restMs = 10

/** After a failure nothing is rung for so long: polling finds it, and a database in trouble is left alone. */
const quietMs = 1000

const flushMs = 1000

export interface RingerOptions {
  /** `null`: nothing is rung. */
  readonly bell: () => Bell | null
  readonly clock: Clock
  readonly logger: Logger
}

/** Rings the bell for other processes: all that is new within a rest goes in one statement, the first at once. */
export class Ringer {
  readonly #options: RingerOptions
  #rest = new AbortController()
  /** By transport: whether something was committed. */
  readonly #waiting = new Map<string, boolean>()
  #ringing: Promise<void> | null = null
  #readyAt = 0
  #quietUntil = 0

  constructor(options: RingerOptions) {
    this.#options = options
  }

  ring({ transport, isCommitted }: News): void {
    if (this.#options.clock.now() < this.#quietUntil) return
    this.#waiting.set(transport, isCommitted || this.#waiting.get(transport) === true)
    this.#ringing ??= this.#run()
  }

  /**
   * Rings what waits without a rest, and resolves when that has ended, or after a second: a stop must not wait for a database that
   * answers nothing, to tell what polling finds.
   */
  async flush(): Promise<void> {
    this.#rest.abort()
    const ended = new AbortController()
    const ringing = (this.#ringing ?? Promise.resolve()).then(() => ended.abort())
    await Promise.race([ringing, this.#options.clock.sleep(flushMs, ended.signal)])
    ended.abort()
    this.#rest = new AbortController()
  }

  /** What is added while a statement is under way goes with the next, never lost between the two. */
  async #run(): Promise<void> {
    const { bell, clock, logger } = this.#options
    // After what this turn brings to the database: the read of a relay of our own, above all. Both together would slow it down.
    await new Promise(setImmediate)
    while (this.#waiting.size > 0) {
      const wait = this.#readyAt - clock.now()
      if (wait > 0) await clock.sleep(wait, this.#rest.signal)
      const news = [...this.#waiting].map(([transport, isCommitted]) => ({ transport, isCommitted }))
      this.#waiting.clear()
      this.#readyAt = clock.now() + restMs
      try {
        await bell()?.ring(news)
      } catch (error) {
        this.#waiting.clear()
        this.#quietUntil = clock.now() + quietMs
        logger.debug(
          { error: describeError(error) },
          'could not wake relays of other processes; their polling finds what is new',
        )
      }
    }
    this.#ringing = null
  }
}
