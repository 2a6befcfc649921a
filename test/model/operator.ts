import type { Coverage } from './coverage.ts'
import type { Database } from './database.ts'
import { Operations } from './operations.ts'
import { nameOf, type StoredLine, type StoredRow } from './tables.ts'
import type { Watch } from './watch.ts'

interface Place {
  readonly database: Database
  readonly watch: Watch
  readonly coverage: Coverage
  readonly clock: { readonly now: number }
}

/** What people do to lines and dead letters, each in one transaction that looks again behind the lock of the line. */
export class Operator {
  readonly #place: Place
  readonly #operations: Operations
  /** Replays under an old number, which put a row before others of its key. */
  oldNumbers = 0
  /** Heads given up, perhaps while they were under way: then they are delivered, and dead letters besides. */
  readonly skipped: Set<string> = new Set()

  constructor(place: Place) {
    this.#place = place
    this.#operations = new Operations(place.database)
  }

  /** A key goes on: what is blocked is tried anew at once; of what only waits for its retry the line may go as well. */
  unblock(pick: number): void {
    const { coverage, clock } = this.#place
    const line = this.#pick(pick, (each) => each.state !== 'parked')
    if (line === undefined) return
    this.#restart(line.id)
    coverage.saw('unblocked')
    if (line.state === 'retrying' && pick % 2 === 0) this.#operations.dropLine(nameOf(line))
    else this.#operations.retryNow(nameOf(line), clock.now)
  }

  /** The head of a key is given up, and its key goes on. */
  skipHead(pick: number): void {
    const { coverage } = this.#place
    const line = this.#pick(pick, (each) => each.state !== 'parked')
    if (line === undefined) return
    if (!this.#operations.skipHead(nameOf(line))) return
    coverage.saw('head skipped')
    this.skipped.add(line.id)
  }

  /** A dead letter that stands alone comes back, under its old number or a new one. */
  replay(pick: number): void {
    const { database, coverage } = this.#place
    const alone = [...database.tables.dead.values()].filter((row) => database.parkedLine(row) === undefined)
    const letter = alone[pick % Math.max(alone.length, 1)]
    if (letter === undefined) return
    const row = this.#operations.replay(nameOf(letter), pick % 2 === 0)
    if (row === null) return
    this.#restart(row.id)
    const keptNumber = row.seq === letter.seq
    if (keptNumber) this.oldNumbers += 1
    coverage.saw(keptNumber ? 'replayed under its number' : 'replayed under a new number')
  }

  /** A parked key comes back whole, in its old order. */
  replayKey(pick: number): void {
    const { coverage } = this.#place
    const line = this.#pick(pick, (each) => each.state === 'parked')
    if (line === undefined) return
    const rows = this.#operations.replayKey(nameOf(line))
    for (const row of rows) this.#restart(row.id)
    this.oldNumbers += rows.length
    coverage.saw('parked key replayed')
  }

  /** The messages of a parked key are thrown away, and the key goes on. */
  purgeKey(pick: number): void {
    const line = this.#pick(pick, (each) => each.state === 'parked')
    if (line === undefined) return
    this.#operations.purgeKey(nameOf(line))
    this.#place.coverage.saw('parked key purged')
  }

  /** Whatever waits for somebody goes on. */
  clear(): void {
    const { database, clock } = this.#place
    for (const [name, line] of database.tables.lines) {
      if (line.state === 'retrying') continue
      if (line.state === 'blocked') {
        this.#restart(line.id)
        this.#operations.retryNow(name, clock.now)
        continue
      }
      const rows = this.#operations.replayKey(name)
      for (const row of rows) this.#restart(row.id)
      this.oldNumbers += rows.length
    }
  }

  #pick(pick: number, isMeant: (line: StoredLine) => boolean): StoredLine | undefined {
    const lines = [...this.#place.database.tables.lines.values()].filter(isMeant)
    return lines[pick % Math.max(lines.length, 1)]
  }

  #restart(id: StoredRow['id']): void {
    const { restarts } = this.#place.watch
    restarts.set(id, (restarts.get(id) ?? 0) + 1)
  }
}
