import { WaybillError } from '../../kernel/errors.ts'
import type { Lane, LeasedPartition } from '../../ports/lane.ts'
import type { DeliveredRow, FencedState, Outbox } from '../../ports/outbox.ts'
import type { SqlStatement } from '../../ports/sql.ts'
import type { Connection } from './connection.ts'
import { fencedStatesText, removeFencedText } from './outbox-fenced-statements.ts'
import { refsOf } from './outbox-refs.ts'
import { withdrawText } from './outbox-remove-statements.ts'
import { named } from './statement.ts'

interface StateRow {
  readonly partition: number
  readonly number: string
  readonly lineage: string | null
}

interface Answer {
  readonly held: number
  readonly noted: number
  readonly removed: number
  readonly last: string | null
}

/** What a relay does after its fenced transactions. Deletes, so on the connection of the deletes, which commits durably. */
export class OutboxFenced {
  readonly #connection: Connection
  readonly #lane: Lane
  readonly #states: SqlStatement
  readonly #remove: SqlStatement
  readonly #withdraw: SqlStatement

  constructor(connection: Connection, schema: string, lane: Lane, keeps: boolean) {
    this.#connection = connection
    this.#lane = lane
    this.#states = named('fenced_states', fencedStatesText(schema))
    this.#remove = named('remove_fenced', removeFencedText(schema, keeps))
    this.#withdraw = named('withdraw', withdrawText(schema, keeps))
  }

  async states(partitions: readonly number[]): Promise<ReadonlyMap<number, FencedState>> {
    const values = [this.#lane.consumer, partitions]
    const rows = await this.#connection.query<StateRow>(
      { ...this.#states, values },
      'read fenced transactions',
    )
    return new Map(
      rows.map(({ partition, number, lineage }) => [partition, { number: BigInt(number), lineage }]),
    )
  }

  async remove(
    { partition, epoch }: LeasedPartition,
    { number, lineage }: Parameters<Outbox['removeFenced']>[1],
    rows: readonly DeliveredRow[],
  ): Promise<boolean> {
    const note = [partition, epoch.toString(), number.toString(), lineage]
    const remove = { ...this.#remove, values: [...refsOf(rows), this.#lane.consumer, ...note] }
    const what = 'delete fenced rows'
    // Only a row that has failed can be given up while it is sent. Its letter goes in the transaction of the note, or a relay that dies
    // between them would leave a message both delivered and dead, which a replay would send a second time.
    const [answer] = rows.every(({ attempts }) => attempts === 0)
      ? await this.#connection.query<Answer>(remove, what)
      : await this.#connection.transaction(what, async (run) => {
          const answers = await run<Answer>(remove)
          const [{ noted, removed }] = answers as [Answer]
          if (noted === 1 && removed < rows.length) await run({ ...this.#withdraw, values: refsOf(rows) })
          return answers
        })
    const { held, noted, last } = answer!
    if (held === 1 && noted === 0) {
      throw new WaybillError(
        'WB_FENCED_MISMATCH',
        `Partition ${partition} has noted fenced transaction ${last} already, so number ${number} of "${lineage}" cannot follow: ` +
          'the notes at the broker and the store do not belong together. Was one of them restored? Nothing was deleted.',
      )
    }
    return held === 1
  }
}
