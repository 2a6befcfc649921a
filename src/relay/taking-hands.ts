import type { Clock } from '../kernel/clock.ts'
import { describeError, type ErrorCode, isWaybillError } from '../kernel/errors.ts'
import { failpoint } from '../kernel/failpoint.ts'
import { newMessageId } from '../kernel/ids.ts'
import type { Logger } from '../kernel/logger.ts'
import type { Lane } from '../ports/lane.ts'
import type { Loss, Outbox } from '../ports/outbox.ts'
import type { RelayMind } from './mind/mind.ts'
import type { Command, MindOptions } from './mind/types.ts'
import type { OnceResult, OnceSender } from './sender.ts'
import type { RelayWatch } from './watch.ts'

type CommandOf<Type extends Command['type']> = Extract<Command, { type: Type }>

export interface TakingOptions {
  readonly lane: Lane
  readonly once?: OnceSender
  /** How long the one send may take. What was taken is nobody else's, so no lease limits it. @default `mind.sendTimeoutMs` */
  readonly onceTimeoutMs?: number
  readonly mind: Pick<MindOptions, 'sendTimeoutMs'>
  readonly clock: Clock
  readonly logger: Logger
  readonly watch: RelayWatch
}

/** What a store says that has answered, and done nothing. */
const refusals = new Set<ErrorCode>(['WB_STORE_CONFLICT', 'WB_STORE_FAILED', 'WB_SCHEMA_MISSING'])

/** Takes that nobody has answered for; each holds the ids of a batch. */
const mostUnanswered = 8

/** The I/O of form `take`. Nothing here rejects, and nothing is tried twice: that is for the mind to decide. */
export class TakingHands {
  readonly #options: TakingOptions
  readonly #outbox: Outbox
  readonly #mind: RelayMind
  /** The name in the store of each take whose end has not been noted. */
  readonly #batches = new Map<number, string>()
  /** Takes that were not answered: what each would have taken, by its name in the store. */
  readonly #unanswered = new Map<string, readonly Loss[]>()
  #ending: Promise<boolean> | undefined
  /** Something was sent since the last flush began. */
  #mayBeOnItsWay = false
  #flushing: Promise<void> | undefined

  constructor(options: TakingOptions, outbox: Outbox, mind: RelayMind) {
    this.#options = options
    this.#outbox = outbox
    this.#mind = mind
  }

  async take({ take, channel, rows }: CommandOf<'take'>): Promise<void> {
    const { clock } = this.#options
    if (!(await this.#isReady(channel))) {
      this.#mind.notReady(take, clock.now())
      return
    }
    // Mostly they are noted beside what goes on. A store that answers no take has to take note before it is asked for more, or each of them
    // would be kept here too.
    if (this.#unanswered.size >= mostUnanswered && !(await this.#endUnanswered())) {
      this.#mind.takeFailed(take, clock.now())
      return
    }
    const batch = newMessageId()
    try {
      failpoint('relay.before-take')
      const outcomes = await this.#outbox.take(batch, rows)
      failpoint('relay.after-take')
      if (outcomes.includes('taken')) this.#batches.set(take, batch)
      this.#mind.taken(take, outcomes, clock.now())
    } catch (error) {
      this.#warn(error, 'could not take messages for their one send; trying again')
      if (!isRefusal(error)) {
        const losses = rows.map(({ channel: name, id }): Loss => {
          return { channel: name, id, cause: 'not-sent', code: 'TAKE_NOT_ANSWERED' }
        })
        this.#unanswered.set(batch, losses)
      }
      this.#mind.takeFailed(take, clock.now())
      return
    }
    // Not waited for: what has been taken is to be sent now.
    void this.#endUnanswered()
  }

  /**
   * One that had its effect leaves a line of rows that nobody sends, and its epoch goes on: no claim would count them for as long as the
   * relay lives. Where it had none there is no line, and nothing is counted. Whether all are noted.
   */
  #endUnanswered(): Promise<boolean> {
    this.#ending ??= this.#endEach().finally(() => {
      this.#ending = undefined
    })
    return this.#ending
  }

  async #endEach(): Promise<boolean> {
    try {
      for (const [batch, losses] of this.#unanswered) {
        await this.#outbox.endTaken(batch, losses)
        this.#unanswered.delete(batch)
      }
      return true
    } catch (error) {
      this.#warn(error, 'could not note what a take left that was not answered; trying again')
      return false
    }
  }

  async dispatch({ take, channel, rows, epochs }: CommandOf<'dispatch'>): Promise<void> {
    const { once, mind, clock, watch, onceTimeoutMs = mind.sendTimeoutMs } = this.#options
    const startedAt = clock.now()
    watch.sendStarted(channel, rows.length)
    let results: readonly OnceResult[]
    try {
      results = await once!.send(rows, onceTimeoutMs, epochs)
      failpoint('relay.after-dispatch')
    } catch (error) {
      const { code } = describeError(error)
      this.#warn(error, 'the one send of messages failed; they are lost')
      results = rows.map(() => ({ cause: 'not-sent', code }))
    }
    this.#mayBeOnItsWay = true
    watch.dispatchEnded(channel, rows, results, clock.now() - startedAt)
    this.#mind.dispatched(take, results, clock.now())
  }

  /** What was sent may still be on its way when its partitions are given up, and their next owner's messages must not overtake it. */
  async flush(timeoutMs: number): Promise<void> {
    if (this.#mayBeOnItsWay) {
      this.#mayBeOnItsWay = false
      this.#flushing = this.#flush(timeoutMs)
    }
    // Partitions that are given up beside others had their part in what those wait for.
    await this.#flushing
  }

  async #flush(timeoutMs: number): Promise<void> {
    try {
      await this.#options.once?.flush?.(timeoutMs)
    } catch (error) {
      this.#warn(error, 'it is not known whether what was sent once has arrived; its partitions are given up')
    }
  }

  async endTaken({ take, losses }: CommandOf<'endTaken'>): Promise<void> {
    try {
      await this.#outbox.endTaken(this.#batches.get(take)!, losses)
      this.#batches.delete(take)
      this.#options.watch.lost(losses)
      this.#mind.takeEnded(take)
    } catch (error) {
      this.#warn(error, 'could not note what became of taken messages; trying again')
      this.#mind.endTakenFailed(take, this.#options.clock.now())
    }
  }

  async #isReady(channel: string): Promise<boolean> {
    const { once, mind, logger, lane } = this.#options
    if (once?.isReady === undefined) return true
    try {
      if (await once.isReady(channel, mind.sendTimeoutMs)) return true
      logger.warn({ lane, channel }, 'the transport is not ready; messages wait, none was taken')
    } catch (error) {
      this.#warn(error, 'the transport is not ready; messages wait, none was taken')
    }
    return false
  }

  #warn(error: unknown, message: string): void {
    this.#options.logger.warn({ lane: this.#options.lane, error: describeError(error) }, message)
  }
}

/** Nothing is left of it to be noted: a store that refuses for hours would have all these noted when it takes again. */
function isRefusal(error: unknown): boolean {
  return isWaybillError(error) && refusals.has(error.code)
}
