import type { Lane } from '../../ports/lane.ts'
import type { Loss, TakenRow, TakeOutcome } from '../../ports/outbox.ts'
import type { SqlStatement } from '../../ports/sql.ts'
import type { Connection } from './connection.ts'
import { lossColumns } from './loss-statements.ts'
import type { OutboxEffects } from './outbox-effects.ts'
import { outcomesOf, type OutcomeRow, refsOf } from './outbox-refs.ts'
import { endTakenText, takeText } from './outbox-take-statements.ts'
import { named } from './statement.ts'

interface Answer extends OutcomeRow<TakeOutcome> {
  /** Others need the row too, so it is still there. Absent on a transport's own lane. */
  readonly is_shared?: boolean | null
}

/**
 * The at-most-once hands of a lane. On a connection of their own, because each send waits for its take; like all of the
 * store's own it commits durably, whatever role or database have set, and a batch is sent only after that.
 */
export class OutboxTakes {
  readonly #connection: Connection
  readonly #effects: OutboxEffects
  readonly #lane: Lane
  readonly #take: SqlStatement
  readonly #end: SqlStatement

  constructor(connection: Connection, effects: OutboxEffects, schema: string, lane: Lane) {
    this.#connection = connection
    this.#effects = effects
    this.#lane = lane
    this.#take = named('take', takeText(schema, lane))
    this.#end = named('end_taken', endTakenText(schema))
  }

  async take(batch: string, rows: readonly TakenRow[]): Promise<readonly TakeOutcome[]> {
    if (rows.length === 0) return []
    const values = [...refsOf(rows), this.#lane.consumer, rows.map((row) => row.epoch.toString()), batch]
    const answers = await this.#connection.query<Answer>({ ...this.#take, values }, 'take rows')
    const outcomes = outcomesOf(rows, answers)
    const shared = new Set(
      answers.filter((each) => each.is_shared === true).map((each) => Number(each.place)),
    )
    const staying = rows.filter((_, i) => shared.has(i + 1) || outcomes[i] === 'gone')
    if (this.#lane.consumer !== '' && staying.length > 0) {
      // What is ours is ours already. A row that stays is in nobody's way, and the next claim of the partition deletes it.
      await this.#effects.remove(staying).catch(() => {})
    }
    return outcomes
  }

  async endTaken(batch: string, losses: readonly Loss[]): Promise<void> {
    const values = [batch, this.#lane.consumer, ...lossColumns(losses)]
    await this.#connection.query({ ...this.#end, values }, 'note what became of rows that were taken')
  }
}
