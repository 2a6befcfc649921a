import type { OutboxRow } from '../../src/ports/outbox.ts'
import type { Command, MindOptions } from '../../src/relay/mind/types.ts'
import { Broken } from './broken.ts'
import type { Database } from './database.ts'
import { dueAt, lockOf, nameOf } from './tables.ts'

const time = 'nothing expires before its time, and nothing is sent after it'

/** Looks at what a mind sends, moves and lets expire: whether lines and clocks allow it. */
export class WatchPoison {
  readonly #database: Database
  readonly #options: MindOptions
  readonly #clock: { readonly now: number }

  constructor(database: Database, options: MindOptions, clock: { readonly now: number }) {
    this.#database = database
    this.#options = options
    this.#clock = clock
  }

  /** `isOwner`: the epoch under which it is sent is the newest. */
  sends(rows: readonly OutboxRow[], isOwner: (partition: number) => boolean): void {
    const { failovers, lateEffects, tables, skews, longestReadMs } = this.#database
    for (const row of rows) {
      const { expiresAfterMs } = this.#options.channels.get(row.channel)!
      const age = this.#clock.now - row.dueAt.getTime()
      const hasOneClock = skews.most === 0 && skews.least === 0
      if (expiresAfterMs !== undefined && hasOneClock && age > expiresAfterMs + longestReadMs)
        throw new Broken(time, `${row.id} is sent at the age of ${age}`)
      if (row.isParked) throw new Broken('a blocked or parked key sends nothing', `${row.id} is marked`)
      // A statement that comes late blocks or parks what has been replayed since; it is as if it had come after this.
      if (failovers > 0 || lateEffects > 0 || !isOwner(row.partition) || row.key === null) continue
      for (const line of tables.lines.values()) {
        const isItsKey = line.key !== null && lockOf(line.channel, line.key) === lockOf(row.channel, row.key)
        const isBelow = line.state === 'retrying' || row.seq < line.seq
        if (isItsKey && !isBelow) {
          const detail = `${row.id} beside the ${line.state} line of ${nameOf(line)}`
          throw new Broken('a blocked or parked key sends nothing', detail)
        }
      }
    }
  }

  loses({ rows }: Extract<Command, { type: 'lose' }>): void {
    const { ledger, skews } = this.#database
    for (const { id, channel, cause } of rows) {
      if (cause !== 'expired' && cause !== 'expired-in-doubt') continue
      const { expiresAfterMs } = this.#options.channels.get(channel)!
      const since = dueAt(ledger.get(id)!.row)
      const latest = this.#clock.now + skews.most
      if (expiresAfterMs === undefined || latest - since <= expiresAfterMs)
        throw new Broken(time, `${id} expires at the age of ${latest - since}`)
    }
  }
}
