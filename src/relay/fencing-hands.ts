import type { Clock } from '../kernel/clock.ts'
import { describeError, isWaybillError } from '../kernel/errors.ts'
import { failpoint } from '../kernel/failpoint.ts'
import type { Logger } from '../kernel/logger.ts'
import type { Lane } from '../ports/lane.ts'
import type { Outbox } from '../ports/outbox.ts'
import type { Fate, FencedOutcome } from '../ports/transport.ts'
import type { RelayMind } from './mind/mind.ts'
import type { Command, MindOptions, StoppedFencing } from './mind/types.ts'
import type { FencedSender } from './sender.ts'
import type { RelayWatch } from './watch.ts'

type CommandOf<Type extends Command['type']> = Extract<Command, { type: Type }>

export interface FencingOptions {
  readonly lane: Lane
  readonly fenced?: FencedSender
  readonly mind: Pick<MindOptions, 'sendTimeoutMs'>
  readonly clock: Clock
  readonly logger: Logger
  readonly watch: RelayWatch
}

/** The I/O of form `fence`. Nothing here rejects. */
export class FencingHands {
  readonly #options: FencingOptions
  readonly #outbox: Outbox
  readonly #mind: RelayMind

  constructor(options: FencingOptions, outbox: Outbox, mind: RelayMind) {
    this.#options = options
    this.#outbox = outbox
    this.#mind = mind
  }

  async takeOver({ call, partition: { partition }, timeoutMs }: CommandOf<'takeOver'>): Promise<void> {
    try {
      const takenOver = await this.#options.fenced!.takeOver(partition, timeoutMs)
      failpoint('relay.after-take-over')
      this.#mind.tookOver(call, takenOver)
    } catch (error) {
      // Called off: the partition is not ours any more.
      if (isWaybillError(error) && error.code === 'WB_ABORTED')
        this.#mind.fencedCallFailed(call, this.#options.clock.now())
      else this.#fail(call, error, 'could not take over a partition at the broker; trying again')
    }
  }

  async askState({ call, partition: { partition } }: CommandOf<'fencedState'>): Promise<void> {
    try {
      const states = await this.#outbox.fencedStates([partition])
      const state = states.get(partition) ?? { number: 0n, lineage: null }
      this.#mind.fencedStateReturned(call, state, this.#options.clock.now())
    } catch (error) {
      this.#fail(call, error, 'could not read what was sent exactly once; trying again')
    }
  }

  async publish(command: CommandOf<'publishFenced'>): Promise<void> {
    const { watch, clock } = this.#options
    const startedAt = clock.now()
    watch.sendStarted(command.channel, command.rows.length)
    const outcome = await this.#publish(command)
    watch.sendEnded(
      command.channel,
      command.rows,
      fatesOf(outcome, command.rows.length),
      clock.now() - startedAt,
    )
    if (outcome.outcome === 'unknown') {
      const { code, reason: error } = outcome
      const { partition } = command.partition
      const fields = { lane: this.#options.lane, partition, code, error }
      this.#options.logger.warn(fields, 'a commit was not answered; asking the broker what became of it')
    }
    this.#mind.publishedFenced(command.call, outcome, clock.now())
  }

  async remove({ call, partition, note, rows }: CommandOf<'removeFenced'>): Promise<void> {
    try {
      const holds = await this.#outbox.removeFenced(partition, note, rows)
      failpoint('relay.after-fenced-remove')
      this.#mind.removedFenced(call, holds)
    } catch (error) {
      if (isWaybillError(error) && error.code === 'WB_FENCED_MISMATCH') {
        this.#warn(error, 'could not delete rows of a committed transaction; comparing anew')
        this.#mind.fencedMismatch(call, this.#options.clock.now())
        return
      }
      this.#fail(call, error, 'could not delete rows of a committed transaction; trying again')
    }
  }

  async release({ partitions }: CommandOf<'releaseFenced'>): Promise<void> {
    // All of them in this very turn: one that was gained again may be taken over in the next, and must not be released behind that.
    const releases = partitions.map((partition) => this.#options.fenced!.release(partition))
    for (const result of await Promise.allSettled(releases))
      if (result.status === 'rejected')
        this.#warn(result.reason, 'could not release a partition at the broker')
  }

  tellStopped({ partition, reason }: StoppedFencing): void {
    this.#options.logger.error(
      { lane: this.#options.lane, partition, code: 'WB_FENCED_MISMATCH', reason },
      'exactly-once has stopped on this partition: broker and database do not fit. Its exactly-once messages wait in the outbox, ' +
        'all others go on. Find out which of them the broker has already, then tell the database which transaction was the last',
    )
  }

  async #publish({ partition, number, rows }: CommandOf<'publishFenced'>): Promise<FencedOutcome> {
    const { fenced, mind } = this.#options
    const { sendTimeoutMs } = mind
    try {
      failpoint('relay.before-fenced-send')
      const note = { epoch: partition.epoch, number }
      const outcome = await fenced!.publish(partition.partition, note, rows, sendTimeoutMs)
      failpoint('relay.after-fenced-send')
      return outcome
    } catch (error) {
      const { code, message } = describeError(error)
      return { outcome: 'unknown', code, reason: message }
    }
  }

  #fail(call: number, error: unknown, message: string): void {
    this.#warn(error, message)
    this.#mind.fencedCallFailed(call, this.#options.clock.now())
  }

  #warn(error: unknown, message: string): void {
    this.#options.logger.warn({ lane: this.#options.lane, error: describeError(error) }, message)
  }
}

/** What a transaction's outcome is for each of its messages. */
function fatesOf(outcome: FencedOutcome, count: number): readonly Fate[] {
  const all = (fate: Fate): Fate[] => Array.from({ length: count }, () => fate)
  switch (outcome.outcome) {
    case 'committed':
      return all({ outcome: 'confirmed' })
    case 'rejected':
      return outcome.fates
    case 'fenced': {
      const reason = 'Another relay has taken over.'
      return all({ outcome: 'rejected', scope: 'destination', retryable: true, code: 'WB_ABORTED', reason })
    }
    case 'unknown':
      return all(outcome)
  }
}
