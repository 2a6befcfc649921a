import type { LeasedPartition } from '../../src/ports/lane.ts'
import type { OutboxRow, RowRef } from '../../src/ports/outbox.ts'
import type { Fate } from '../../src/ports/transport.ts'
import { fencedWrites, type HistoryEvent, type HistoryNote } from '../../src/testing.ts'
import { Broken } from './broken.ts'
import type { Database } from './database.ts'
import { nameOf } from './tables.ts'

type Written = RowRef & { readonly epoch?: bigint }

/** Keeps the history of leases, confirms and writes, each at the moment at which the database has it. */
export class WatchZombies {
  readonly #database: Database
  readonly #history: HistoryEvent[] = []

  constructor(database: Database) {
    this.#database = database
  }

  claims(mind: string, gained: readonly LeasedPartition[]): void {
    for (const { partition, epoch } of gained)
      this.#note(mind, { type: 'ok', f: 'lease', key: String(partition), epoch: Number(epoch) })
  }

  confirms(mind: string, rows: readonly OutboxRow[], fates: readonly Fate[]): void {
    rows.forEach((row, i) => {
      if (fates[i]?.outcome === 'confirmed') this.#note(mind, { type: 'ok', f: 'wire', id: nameOf(row) })
    })
  }

  /** Does `work`, and notes which of the rows are gone by it. */
  deletes<T>(mind: string, f: 'ack' | 'mark', rows: readonly Written[], work: () => T): T {
    const { tables } = this.#database
    const were = rows.map((row) => tables.rows.has(nameOf(row)))
    const result = work()
    this.writes(
      mind,
      f,
      rows,
      rows.map((row, i) => were[i]! && !tables.rows.has(nameOf(row))),
    )
    return result
  }

  writes(mind: string, f: 'ack' | 'mark', rows: readonly Written[], isChanged: readonly boolean[]): void {
    rows.forEach((row, i) => {
      const epoch = row.epoch === undefined ? {} : { epoch: Number(row.epoch) }
      const value = isChanged[i] === true ? 1 : 0
      this.#note(mind, { type: 'ok', f, key: String(row.partition), id: nameOf(row), value, ...epoch })
    })
  }

  judge(): void {
    // A fail-over hands epochs out again.
    if (this.#database.failovers > 0) return
    const [first] = fencedWrites(this.#history).anomalies
    if (first !== undefined)
      throw new Broken(
        'a zombie writes nothing, but deletes what it saw confirmed',
        `${first.id}: ${first.detail}`,
      )
  }

  #note(process: string, note: HistoryNote): void {
    this.#history.push({ process, key: null, seq: null, id: null, ...note, t: this.#history.length })
  }
}
