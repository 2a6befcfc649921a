import type { BacklogLimit } from '../guarantees/plan.ts'
import type { Clock } from '../kernel/clock.ts'
import { describeError, WaybillError } from '../kernel/errors.ts'
import type { Logger } from '../kernel/logger.ts'
import type { SomeChannel } from './channel.ts'

export interface BacklogWatchOptions {
  /** See `Gauge.count`. */
  readonly count: (channel: string, most: number) => Promise<number>
  /** Called when no count is under way any more. */
  readonly stopped: () => Promise<void>
  readonly clock: Clock
  readonly logger: Logger
}

/** What is known of a channel that has a limit and was published on. */
export interface BacklogStatus {
  readonly channel: string
  readonly maxPending: number
  /** What waited when it was last counted, up to the limit; `null`: not counted yet, or too long ago to be believed. */
  readonly pending: number | null
  /** Why it could not be counted when that was last tried. */
  readonly error: string | undefined
}

interface Watched {
  readonly channel: string
  readonly limit: BacklogLimit
  pending: number
  /** Until when that is believed; 0 before the first count. */
  goodUntil: number
  /** Messages admitted since the count began. */
  admitted: number
  error: string | undefined
  toldErrorAt: number
  toldFullAt: number
}

const intervalMs = 1000
/** Its time is at most a twentieth of all time: counting must not be what the database is busy with. */
const restsForEach = 19
const leastRestMs = 50
/** A count of a minute ago would refuse what there is room for. */
const staleAfterMs = 5000
const tellEveryMs = 10_000

/**
 * Counts what waits of the channels that have a limit, about once a second, from their first publish to `stop()`: so that no
 * publish waits for a count. What it knows is a little old: more get in at first, and fewer for a moment after the backlog has
 * gone. Where publishers may have filled the room since the last count, the next comes sooner.
 */
export class BacklogWatch {
  readonly #options: BacklogWatchOptions
  readonly #watched = new Map<string, Watched>()
  #running: { readonly ended: AbortController; readonly done: Promise<void> } | null = null
  #rest: AbortController | null = null
  #stopping: Promise<void> | null = null

  constructor(options: BacklogWatchOptions) {
    this.#options = options
  }

  /** Throws `WB_BACKLOG_FULL` where `count` more messages are too many. Costs a publish nothing but a look at the last count. */
  admit({ name, backlogLimit: limit }: SomeChannel, count: number): void {
    if (limit === undefined || count === 0) return
    const watched = this.#watch(name, limit)
    const { clock } = this.#options
    if (clock.now() < watched.goodUntil && watched.pending + count > limit.maxPending)
      this.#full(watched, count)
    watched.admitted += count
    if (watched.pending + watched.admitted >= limit.maxPending) this.#rest?.abort()
  }

  get isUsed(): boolean {
    return this.#watched.size > 0
  }

  status(): BacklogStatus[] {
    const now = this.#options.clock.now()
    return [...this.#watched.values()].map(({ channel, limit, pending, goodUntil, error }) => ({
      channel,
      maxPending: limit.maxPending,
      pending: now < goodUntil ? pending : null,
      error,
    }))
  }

  /** Counting begins with no publish meanwhile, only with one after it: nobody would end what began now. */
  stop(): Promise<void> {
    this.#stopping ??= this.#end().finally(() => {
      this.#watched.clear()
      this.#stopping = null
    })
    return this.#stopping
  }

  async #end(): Promise<void> {
    const running = this.#running
    this.#running = null
    running?.ended.abort()
    this.#rest?.abort()
    await running?.done
    await this.#options.stopped()
  }

  #watch(channel: string, limit: BacklogLimit): Watched {
    let watched = this.#watched.get(channel)
    if (watched === undefined) {
      const untold = { toldErrorAt: -Infinity, toldFullAt: -Infinity, error: undefined }
      watched = { channel, limit, pending: 0, goodUntil: 0, admitted: 0, ...untold }
      this.#watched.set(channel, watched)
      this.#rest?.abort()
    }
    if (this.#running === null && this.#stopping === null) {
      const ended = new AbortController()
      this.#running = { ended, done: this.#run(ended.signal) }
    }
    return watched
  }

  #full(watched: Watched, count: number): void {
    const { channel, limit, pending } = watched
    const { clock, logger } = this.#options
    if (limit.whenFull === 'warn') {
      if (clock.now() - watched.toldFullAt < tellEveryMs) return
      watched.toldFullAt = clock.now()
      logger.warn(
        { channel, pending, maxPending: limit.maxPending },
        'more messages wait than its limit allows',
      )
      return
    }
    const more = count === 1 ? '' : `, and this call has ${count} more`
    const next =
      count > limit.maxPending
        ? 'Split the call: it alone has more than that.'
        : 'Run the transaction again later; `waybill status` shows what holds them up.'
    throw new WaybillError(
      'WB_BACKLOG_FULL',
      `Nothing was published: ${pending} messages or more of channel "${channel}" wait in the outbox${more}, and ` +
        `\`maxPending\` is ${limit.maxPending}. ${next}`,
      { retryable: 'yes' },
    )
  }

  async #run(signal: AbortSignal): Promise<void> {
    const { clock } = this.#options
    while (!signal.aborted) {
      const began = clock.now()
      for (const watched of this.#watched.values()) if (!signal.aborted) await this.#count(watched)
      const tookMs = clock.now() - began
      const restMs = Math.max(leastRestMs, tookMs * restsForEach)
      for (const watched of this.#watched.values())
        if (watched.error === undefined) watched.goodUntil += 3 * restMs
      await clock.sleep(restMs, signal)
      if (signal.aborted || this.#isCrowded) continue
      this.#rest = new AbortController()
      await clock.sleep(Math.max(0, intervalMs - restMs - tookMs), this.#rest.signal)
      this.#rest = null
    }
  }

  get #isCrowded(): boolean {
    for (const { pending, admitted, limit, error } of this.#watched.values())
      if (error === undefined && admitted > 0 && pending + admitted >= limit.maxPending) return true
    return false
  }

  async #count(watched: Watched): Promise<void> {
    const { channel, limit } = watched
    const { count, clock, logger } = this.#options
    watched.admitted = 0
    try {
      watched.pending = await count(channel, limit.maxPending)
      watched.goodUntil = clock.now() + staleAfterMs
      if (watched.error !== undefined) logger.info({ channel }, 'what waits of it is counted again')
      watched.error = undefined
    } catch (error) {
      const { code, message } = describeError(error)
      watched.error = code
      if (clock.now() - watched.toldErrorAt < tellEveryMs) return
      watched.toldErrorAt = clock.now()
      logger.warn(
        { channel, code, error: message },
        'could not count what waits of it; nothing of it is refused until that is known again',
      )
    }
  }
}
