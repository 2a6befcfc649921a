import type { Database } from './database.ts'
import { nameOf, type StoredLetter, type StoredLine, type StoredRow } from './tables.ts'

/** What the operators' statements do, each one transaction behind the lock of its line. */
export class Operations {
  readonly #database: Database

  constructor(database: Database) {
    this.#database = database
  }

  /** The line goes and the counter rises in one transaction. */
  dropLine(name: string): void {
    const line = this.#database.tables.lines.get(name)
    if (line === undefined) return
    this.#database.statement()
    this.#database.tables.lines.delete(name)
    this.#database.rewind(line.partition)
  }

  /** The line is due now, and its attempts begin anew. */
  retryNow(name: string, now: number): void {
    const line = this.#database.tables.lines.get(name)
    if (line === undefined) return
    this.#database.statement()
    this.#database.tables.lines.set(name, { ...line, state: 'retrying', attempts: 0, retryAt: now })
    this.#database.rewind(line.partition)
  }

  /** Whether there was a row to give up; the line goes in any case. */
  skipHead(name: string): boolean {
    const line = this.#database.tables.lines.get(name)
    if (line === undefined) return false
    this.#database.statement()
    const row = this.#database.tables.rows.get(name)
    if (row !== undefined) {
      this.#database.entomb(row, 'skipped')
      this.#database.everSkipped.add(row.id)
    }
    this.#database.tables.lines.delete(name)
    this.#database.rewind(line.partition)
    return row !== undefined
  }

  /** A dead letter comes back, under its old number or a new one, always with a new transaction id. */
  replay(name: string, keepsNumber: boolean): StoredRow | null {
    const { tables } = this.#database
    const old = tables.dead.get(name)
    if (old === undefined || (old.key !== null && this.#database.isLocked(old.channel, old.key, null)))
      return null
    let seq = old.seq
    if (!keepsNumber || [...tables.rows.values()].some((row) => row.seq === seq)) {
      seq = tables.nextSeq
      tables.nextSeq += 1n
    }
    tables.dead.delete(name)
    return this.#bringBack([{ ...old, seq }])[0]!
  }

  /** Head and followers of a parked key come back under their old numbers, and the line goes, in one transaction. */
  replayKey(name: string): readonly StoredRow[] {
    const line = this.#database.tables.lines.get(name)
    if (line === undefined) return []
    this.#database.tables.lines.delete(name)
    const rows = this.#lettersOf(line)
    for (const row of rows) this.#database.tables.dead.delete(nameOf(row))
    if (rows.length === 0) this.#database.rewind(line.partition)
    return this.#bringBack(rows)
  }

  /** The same, but nothing comes back. */
  purgeKey(name: string): void {
    const line = this.#database.tables.lines.get(name)
    if (line === undefined) return
    this.#database.statement()
    for (const row of this.#lettersOf(line)) {
      this.#database.tables.dead.delete(nameOf(row))
      this.#database.everPurged.add(row.id)
    }
    this.#database.tables.lines.delete(name)
    this.#database.rewind(line.partition)
  }

  #lettersOf({ channel, key }: StoredLine): StoredLetter[] {
    return [...this.#database.tables.dead.values()].filter(
      (row) => row.channel === channel && row.key === key,
    )
  }

  #bringBack(letters: readonly StoredRow[]): readonly StoredRow[] {
    const writer = this.#database.begin()
    const rows = letters.map((old) => ({ ...old, xid: writer.xid, writer: writer.writer }))
    writer.rows.push(...rows)
    this.#database.commit(writer)
    for (const partition of new Set(rows.map((row) => row.partition))) this.#database.rewind(partition)
    return rows
  }
}
