import type { RelayReport } from '../kernel/census.ts'
import type { Clock, Random } from '../kernel/clock.ts'
import { describeError } from '../kernel/errors.ts'
import { failpoint } from '../kernel/failpoint.ts'
import type { Logger } from '../kernel/logger.ts'
import { backoffMs } from '../kernel/retry.ts'
import type { Lane, LeasedPartition } from '../ports/lane.ts'
import type { LeaseSession } from '../ports/leases.ts'

/** What the keeper tells, and asks, the relay it keeps leases for. */
export interface LeaseHolder {
  readonly held: readonly LeasedPartition[]
  /** Those of them that are not being given up. */
  readonly kept: readonly LeasedPartition[]
  gained(partitions: readonly LeasedPartition[], until: number): void
  renewed(partitions: readonly LeasedPartition[], until: number): void
  /** The session has answered: it is alive. */
  answered(): void
  /** `code` is of the error the session was lost with, `null` where it was closed. */
  lostAll(code: string | null): void
  /** What is told with the next renewal. */
  report(): RelayReport
  /** Resolves when the next owners of its partitions may send; never rejects. */
  flush(): Promise<void>
  /** Gives partitions up by draining. */
  giveUp(partitions: readonly number[]): void
}

export interface LeaseKeeperOptions {
  readonly lane: Lane
  readonly leaseMs: number
  readonly open: () => Promise<LeaseSession>
  readonly holder: LeaseHolder
  readonly clock: Clock
  readonly random: Random
  readonly logger: Logger
}

/**
 * Keeps a relay's leases on a timer and a connection of its own (R4): renews, takes its fair share, hands over what is too
 * much, and says at once when the session, and with it everything, is lost.
 */
export class LeaseKeeper {
  readonly #options: LeaseKeeperOptions
  readonly #stopping = new AbortController()
  #session: LeaseSession | null = null
  #isLeaving = false
  #nap: AbortController | null = null
  #running: Promise<void> | null = null
  readonly #releases = new Set<Promise<void>>()

  constructor(options: LeaseKeeperOptions) {
    this.#options = options
  }

  start(): void {
    this.#running ??= this.#run()
  }

  /** Leases are kept while the relay drains, but no new ones are taken; its peers learn of it now. */
  leave(): void {
    this.#isLeaving = true
    this.#nap?.abort()
  }

  async stop(): Promise<void> {
    // The end of the session would free what is not to be free yet.
    await Promise.all(this.#releases)
    this.#stopping.abort()
    this.#nap?.abort()
    await this.#running
  }

  async release(partitions: readonly LeasedPartition[]): Promise<void> {
    const releasing = this.#release(partitions)
    this.#releases.add(releasing)
    await releasing
    this.#releases.delete(releasing)
  }

  async #release(partitions: readonly LeasedPartition[]): Promise<void> {
    try {
      await this.#options.holder.flush()
      await this.#session?.release(partitions)
    } catch (error) {
      // They end by themselves: by the session's lock at the latest when it is closed, or by the database's clock.
      this.#options.logger.warn(
        { lane: this.#options.lane, error: describeError(error) },
        'could not release leases',
      )
    }
  }

  async #run(): Promise<void> {
    const { clock, random, logger, lane } = this.#options
    const signal = this.#stopping.signal
    let failures = 0
    let lostWith: string | null = null
    while (!signal.aborted) {
      try {
        lostWith = null
        this.#session = await this.#options.open()
        await this.#keep(this.#session, () => {
          failures = 0
          this.#options.holder.answered()
        })
      } catch (error) {
        failures += 1
        lostWith = describeError(error).code
        logger.warn({ lane, failures, error: describeError(error) }, 'lost the lease session; joining again')
      }
      // Losing the session is losing every lease: its lock is free, and a peer may claim them this moment.
      this.#options.holder.lostAll(lostWith)
      await this.#session?.close()
      this.#session = null
      if (!signal.aborted)
        await clock.sleep(backoffMs(failures, { initialMs: 50, maxMs: 1000 }, random), signal)
    }
  }

  async #keep(session: LeaseSession, onBeat: () => void): Promise<void> {
    const { clock, leaseMs, holder } = this.#options
    const signal = this.#stopping.signal
    const renewEveryMs = leaseMs / 3
    const claimEveryMs = Math.min(leaseMs / 8, 500)
    let renewAt = clock.now() + renewEveryMs
    let isToldLeaving = false
    while (!signal.aborted) {
      const isLeaving = this.#isLeaving
      if (clock.now() >= renewAt || isLeaving !== isToldLeaving) {
        const asked = clock.now()
        renewAt = asked + renewEveryMs
        // What is gained or drained while the answer is on its way must not be judged by it, so nothing runs beside it.
        holder.renewed(await session.renew(holder.held, isLeaving, holder.report()), asked + leaseMs)
        isToldLeaving = isLeaving
      }
      if (!this.#isLeaving) await this.#share(session)
      onBeat()
      await this.#sleep(Math.min(claimEveryMs, Math.max(renewAt - clock.now(), 1)), isToldLeaving)
    }
  }

  /** Ends early where `leave` or `stop` is called. */
  async #sleep(ms: number, isToldLeaving: boolean): Promise<void> {
    if (this.#stopping.signal.aborted || this.#isLeaving !== isToldLeaving) return
    const nap = (this.#nap = new AbortController())
    await this.#options.clock.sleep(ms, nap.signal)
  }

  /**
   * Shares differ by one at most, and by rank everybody knows who has one more: were each to take the rounded-up share, five relays
   * of 16 partitions would hold 4, 4, 4, 4 and none.
   */
  async #share(session: LeaseSession): Promise<void> {
    const { clock, leaseMs, holder, lane, logger } = this.#options
    const { relays, rank, partitions, closed } = await session.survey()
    if (closed.length > 0) holder.giveUp(closed)
    const count = Math.max(relays, 1)
    const fair = Math.floor(partitions / count) + (rank < partitions % count ? 1 : 0)
    const kept = holder.kept.map(({ partition }) => partition)
    if (kept.length > fair) holder.giveUp(kept.slice(0, kept.length - fair))
    if (kept.length >= fair || this.#isLeaving) return
    const asked = clock.now()
    const gained = await session.claim(fair - kept.length)
    if (gained.length === 0) return
    failpoint('relay.after-claim')
    logger.debug({ lane, gained: gained.length, fair }, 'claimed partitions')
    holder.gained(gained, asked + leaseMs)
    // Gained while the relay was told to leave: given up again with the rest.
    if (this.#isLeaving) holder.giveUp(gained.map(({ partition }) => partition))
  }
}
