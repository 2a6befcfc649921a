import type { Lane } from '../../ports/lane.ts'
import type {
  BlockedLine,
  DeadLetter,
  Follower,
  FollowerOutcome,
  FoundRow,
  LineOutcome,
  LostRow,
  RowRef,
} from '../../ports/outbox.ts'
import type { SqlStatement } from '../../ports/sql.ts'
import type { Connection } from './connection.ts'
import { loseText } from './outbox-lose-statement.ts'
import { lockParkedText, moveFollowersText } from './outbox-follower-statements.ts'
import { blockText, buryText } from './outbox-line-statements.ts'
import { outcomesOf, type OutcomeRow, placesOf, refsOf } from './outbox-refs.ts'
import { noteText, removeFoundText, removeText, withdrawText } from './outbox-remove-statements.ts'
import { named } from './statement.ts'

const deleting = 'delete delivered rows'

/**
 * What a relay does to rows and lines. Each effect is one autocommit statement, or one short transaction; on a consumer's lane rows are deleted by a second
 * one, whose snapshot sees what the first, and every other consumer's first, has committed. Lines have a connection of their
 * own, so that one which waits for a row does not hold up the deletes.
 */
export class OutboxEffects {
  readonly #deletes: Connection
  readonly #lines: Connection
  readonly #followers: Connection
  readonly #lane: Lane
  readonly #note: SqlStatement
  readonly #remove: SqlStatement
  readonly #removeFound: SqlStatement
  readonly #removeBuried: SqlStatement
  readonly #withdraw: SqlStatement
  readonly #block: SqlStatement
  readonly #bury: SqlStatement
  readonly #lose: SqlStatement
  readonly #lockParked: SqlStatement
  readonly #move: SqlStatement
  #moving: Promise<unknown> = Promise.resolve()

  constructor(
    connections: {
      readonly deletes: Connection
      readonly lines: Connection
      readonly followers: Connection
    },
    schema: string,
    lane: Lane,
    keeps: boolean,
  ) {
    this.#deletes = connections.deletes
    this.#lines = connections.lines
    this.#followers = connections.followers
    this.#lane = lane
    this.#note = named('note', noteText(schema))
    this.#remove = named('remove', removeText(schema, lane, keeps))
    this.#removeFound = named('remove_found', removeFoundText(schema, keeps))
    this.#removeBuried = named('remove', removeText(schema, lane, keeps && 'shared', 'noted'))
    this.#withdraw = named('withdraw', withdrawText(schema, keeps))
    this.#block = named('block', blockText(schema, lane))
    this.#bury = named('bury', buryText(schema, lane))
    this.#lose = named('lose', loseText(schema, lane))
    this.#lockParked = named('lock_parked', lockParkedText(schema))
    this.#move = named('move_followers', moveFollowersText(schema, lane))
  }

  async remove(rows: readonly FoundRow[]): Promise<{ readonly removed: number }> {
    if (rows.length === 0) return { removed: 0 }
    if (this.#lane.consumer !== '') {
      const values = [...refsOf(rows), this.#lane.consumer]
      await this.#deletes.query({ ...this.#note, values }, deleting)
      return { removed: await this.#removeBy(this.#remove, values) }
    }
    const found = rows.filter(({ place }) => place !== undefined)
    const values = [...refsOf(found), '', placesOf(found)]
    let removed = found.length === 0 ? 0 : await this.#removeBy(this.#removeFound, values)
    if (removed === rows.length) return { removed }
    // Gone already, moved since it was read, or never read: looked for by key, with its line.
    removed += await this.#removeBy(this.#remove, [...refsOf(rows), ''])
    // A later statement than the one that waited for whoever took a row away: it sees what that one wrote.
    if (removed < rows.length)
      await this.#deletes.query({ ...this.#withdraw, values: refsOf(rows) }, deleting)
    return { removed }
  }

  async #removeBy(statement: SqlStatement, values: unknown[]): Promise<number> {
    const { rows, rowCount } = await this.#deletes.result({ ...statement, values }, deleting)
    const [answer] = rows as readonly { readonly removed: string }[]
    return Number(answer?.removed ?? rowCount)
  }

  async block(lines: readonly BlockedLine[]): Promise<readonly LineOutcome[]> {
    if (lines.length === 0) return []
    const values = [
      ...refsOf(lines),
      this.#lane.consumer,
      lines.map((line) => line.epoch.toString()),
      lines.map((line) => line.attempts),
      lines.map((line) => line.errorCode),
      lines.map((line) => line.error),
      lines.map((line) => line.channel),
      lines.map((line) => line.key),
      lines.map((line) => line.retryInMs),
      lines.map((line) => line.isInDoubt ?? false),
    ]
    const rows = await this.#lines.query<OutcomeRow<LineOutcome>>(
      { ...this.#block, values },
      'write what failed',
    )
    return outcomesOf(lines, rows)
  }

  async bury(letters: readonly DeadLetter[]): Promise<readonly LineOutcome[]> {
    if (letters.length === 0) return []
    const values = [
      ...refsOf(letters),
      this.#lane.consumer,
      letters.map((letter) => letter.epoch.toString()),
      letters.map((letter) => letter.attempts),
      letters.map((letter) => letter.errorCode),
      letters.map((letter) => letter.error),
      letters.map((letter) => letter.reason),
      letters.map((letter) => letter.parks ?? false),
    ]
    const rows = await this.#lines.query<OutcomeRow<LineOutcome>>(
      { ...this.#bury, values },
      'write dead letters',
    )
    const outcomes = outcomesOf(letters, rows)
    await this.#removeEnded(letters, outcomes)
    return outcomes
  }

  async lose(lost: readonly LostRow[]): Promise<readonly LineOutcome[]> {
    if (lost.length === 0) return []
    const values = [
      ...refsOf(lost),
      this.#lane.consumer,
      lost.map((row) => row.epoch.toString()),
      lost.map((row) => row.cause),
      lost.map((row) => row.code),
    ]
    const rows = await this.#lines.query<OutcomeRow<LineOutcome>>(
      { ...this.#lose, values },
      'delete and count what is lost',
    )
    const outcomes = outcomesOf(lost, rows)
    await this.#removeEnded(lost, outcomes)
    return outcomes
  }

  /** One at a time: a relay does it so, and a session has one transaction. */
  moveFollowers(followers: readonly Follower[]): Promise<readonly FollowerOutcome[]> {
    const moving = this.#moving.then(() => this.#moveFollowers(followers))
    this.#moving = moving.catch(() => {})
    return moving
  }

  async #moveFollowers(followers: readonly Follower[]): Promise<readonly FollowerOutcome[]> {
    if (followers.length === 0) return []
    const { consumer } = this.#lane
    const keys = [followers.map((row) => row.channel), followers.map((row) => row.key)]
    const values = [...refsOf(followers), consumer, followers.map((row) => row.epoch.toString())]
    const rows = await this.#followers.transaction('move what stands behind parked messages', async (run) => {
      await run({ ...this.#lockParked, values: [consumer, ...keys] })
      return run<OutcomeRow<FollowerOutcome>>({ ...this.#move, values })
    })
    const outcomes = outcomesOf(followers, rows)
    await this.#removeEnded(
      followers.filter((_, i) => outcomes[i] !== 'unparked'),
      outcomes.filter((outcome) => outcome !== 'unparked'),
    )
    return outcomes
  }

  /**
   * On a consumer's lane the inbox row of the statement is what took the message out of the lane; the row itself goes where no
   * other consumer lacks it, and where an operator has not brought it back since. If this is lost, the next claim of the partition
   * does it.
   */
  async #removeEnded(rows: readonly RowRef[], outcomes: readonly LineOutcome[]): Promise<void> {
    const ended = rows.filter((_, i) => outcomes[i] !== 'fenced')
    if (this.#lane.consumer === '' || ended.length === 0) return
    const values = [...refsOf(ended), this.#lane.consumer]
    await this.#deletes.query({ ...this.#removeBuried, values }, 'delete rows that every consumer has')
  }
}
