import type { OutboxRow, TakenRow, TakeOutcome } from '../../src/ports/outbox.ts'
import type { Command, MindOptions } from '../../src/relay/mind/types.ts'
import { Broken } from './broken.ts'
import type { Database } from './database.ts'
import { nameOf } from './tables.ts'
import type { LeaseName } from './watch.ts'

const shape = 'a send is of one channel, held rows, and one run of each key'
const early = 'at most once: nothing is sent before its take is acknowledged'

/** Looks at every take, and at the one send that follows it. */
export class WatchTakes {
  readonly #database: Database
  readonly #options: MindOptions
  /** Keys of each take that is under way, or whose send is, by row. */
  readonly #underway = new Map<string, ReadonlyMap<string, string>>()
  /** Rows dispatched after a newer owner had claimed their partition, which no relay can know in time. */
  readonly late: Set<string> = new Set()

  constructor(database: Database, options: MindOptions) {
    this.#database = database
    this.#options = options
  }

  takes(relay: string, lease: LeaseName, { take, channel, rows }: Extract<Command, { type: 'take' }>): void {
    const { form, batchSize = this.#options.batchSize } = this.#options.channels.get(channel)!
    if (form !== 'take') throw new Broken(shape, `${channel} is taken`)
    if (rows.length === 0 || rows.length > batchSize) throw new Broken(shape, `${rows.length} rows`)
    const keys = new Map(rows.flatMap((row) => this.#keyOf(lease, row)))
    for (const others of this.#underway.values()) {
      for (const key of others.values())
        if ([...keys.values()].includes(key)) throw new Broken(shape, `${key} is in two sends`)
    }
    this.#underway.set(`${relay}/${take}`, keys)
  }

  taken(relay: string, take: number, rows: readonly TakenRow[], outcomes: readonly TakeOutcome[]): void {
    const keys = new Map(this.#underway.get(`${relay}/${take}`))
    rows.forEach((row, i) => {
      if (outcomes[i] !== 'taken') keys.delete(nameOf(row))
    })
    this.#underway.set(`${relay}/${take}`, keys)
  }

  dispatches(relay: string, { rows }: Extract<Command, { type: 'dispatch' }>): void {
    for (const row of rows) {
      if (!this.#database.everTaken.has(nameOf(row))) throw new Broken(early, `${row.id} of ${relay}`)
    }
  }

  /** At the moment it leaves. */
  leaves(rows: readonly OutboxRow[]): void {
    for (const row of rows) {
      const claims = this.#database.claims.get(row.partition) ?? 0
      if (this.#database.everTaken.get(nameOf(row)) !== claims) this.late.add(row.id)
    }
  }

  ended(relay: string, take: number): void {
    this.#underway.delete(`${relay}/${take}`)
  }

  #keyOf(lease: LeaseName, row: TakenRow): [string, string][] {
    const held = lease(row.partition)
    if (held === null) throw new Broken(shape, `${row.id} is of a partition that is not held`)
    const key = this.#database.ledger.get(row.id)?.row.key ?? null
    return key === null ? [] : [[nameOf(row), `${held}/${row.channel}/${key}`]]
  }
}
