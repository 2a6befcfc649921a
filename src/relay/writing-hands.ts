import type { Clock } from '../kernel/clock.ts'
import { describeError } from '../kernel/errors.ts'
import { failpoint } from '../kernel/failpoint.ts'
import type { Logger } from '../kernel/logger.ts'
import type { Lane } from '../ports/lane.ts'
import type { BlockedLine, DeadLetter, FollowerOutcome, LostRow, Outbox } from '../ports/outbox.ts'
import type { RelayMind } from './mind/mind.ts'
import type { Command } from './mind/types.ts'
import type { RelayWatch } from './watch.ts'

type WriteCommand = Extract<Command, { type: 'block' | 'bury' | 'move' | 'lose' }>

export interface WritingOptions {
  readonly lane: Lane
  readonly clock: Clock
  readonly logger: Logger
  readonly watch: RelayWatch
}

/** Messages told one by one for each statement, at most. */
const mostTold = 20

/** The I/O of what is not delivered: lines, dead letters, followers, expiry. Never rejects: every failure is an event of the mind. */
export class WritingHands {
  readonly #options: WritingOptions
  readonly #outbox: Outbox
  readonly #mind: RelayMind

  constructor(options: WritingOptions, outbox: Outbox, mind: RelayMind) {
    this.#options = options
    this.#outbox = outbox
    this.#mind = mind
  }

  async write(command: WriteCommand): Promise<void> {
    const { logger, lane, clock } = this.#options
    failpoint('relay.before-block')
    try {
      const outcomes = await this.#carryOut(command)
      failpoint('relay.after-block')
      this.#tell(command, outcomes)
      this.#mind.written(command.write, outcomes)
    } catch (error) {
      logger.warn({ lane, error: describeError(error) }, 'could not write what failed; trying again')
      this.#mind.writeFailed(command.write, clock.now())
    }
  }

  #carryOut(command: WriteCommand): Promise<readonly FollowerOutcome[]> {
    switch (command.type) {
      case 'block':
        return this.#outbox.block(command.lines)
      case 'bury':
        return this.#outbox.bury(command.letters)
      case 'move':
        return this.#outbox.moveFollowers(command.rows)
      case 'lose':
        return this.#outbox.lose(command.rows)
    }
  }

  #tell(command: WriteCommand, outcomes: readonly FollowerOutcome[]): void {
    const { watch, logger, lane } = this.#options
    const isWritten = (_: unknown, i: number): boolean => outcomes[i] === 'written'
    switch (command.type) {
      case 'block': {
        const lines = command.lines.filter(isWritten)
        const isWaiting = ({ retryInMs }: BlockedLine): boolean => retryInMs === null
        watch.retried(lines.filter((line) => !isWaiting(line)))
        watch.blocked(lines.filter(isWaiting))
        for (const line of lines.slice(0, mostTold)) {
          if (!isWaiting(line)) logger.warn(this.#fields(line), 'delivery failed; it will be tried again')
          else
            logger.error(
              this.#fields(line),
              'delivery given up; the message keeps its key waiting for an operator',
            )
        }
        break
      }
      case 'bury': {
        const letters = command.letters.filter(isWritten)
        watch.died(letters)
        for (const letter of letters.slice(0, mostTold)) {
          const also = letter.parks === true ? ', and its key is parked with it' : ''
          logger.error(
            this.#fields(letter),
            `delivery given up; the message is among the dead letters${also}`,
          )
        }
        break
      }
      case 'move': {
        const rows = command.rows.filter(isWritten)
        watch.died(rows.map(({ channel }) => ({ channel, reason: 'follower', errorCode: 'KEY_PARKED' })))
        if (rows.length > 0)
          logger.warn({ lane, count: rows.length }, 'messages of parked keys were moved beside their heads')
        break
      }
      case 'lose': {
        // Of the others it was told when their one send ended.
        const rows = command.rows.filter(isWritten).filter(isExpired)
        watch.lost(rows)
        if (rows.length > 0)
          logger.warn(
            { lane, count: rows.length },
            'messages had expired; deleted without being sent, and counted',
          )
        break
      }
    }
  }

  #fields({ id, attempts, errorCode, error }: BlockedLine | DeadLetter): Readonly<Record<string, unknown>> {
    return { lane: this.#options.lane, id, attempts, code: errorCode, error }
  }
}

function isExpired({ cause }: LostRow): boolean {
  return cause === 'expired' || cause === 'expired-in-doubt'
}
