import type { LeasedPartition } from '../../src/ports/lane.ts'
import type {
  BlockedLine,
  DeadLetter,
  FencedState,
  Follower,
  FollowerOutcome,
  LineOutcome,
  Loss,
  LostRow,
  RowRef,
  Snapshot,
  TakenRow,
  TakeOutcome,
} from '../../src/ports/outbox.ts'
import { lockOf, nameOf, type StoredLine, type StoredRow, Tables, type Transaction } from './tables.ts'

/** A transaction that committed, with its place in commit order. Kept outside the tables: it never falls back. */
export interface Committed {
  readonly row: StoredRow
  readonly order: number
}

/** What a mutant changes about the database. All off is the contract of `src/ports/outbox.ts`. */
export interface DatabaseFlaws {
  readonly removesByNumberAlone?: boolean
  readonly removesWithoutRewind?: boolean
  /** A late confirm of a parked head takes its line away. */
  readonly removesParkedLines?: boolean
  /** Lines, letters, takes and deletes are as good under an old epoch as under the last. */
  readonly checksNoEpoch?: boolean
  /** A dead letter lets its key go on, whatever the policy. */
  readonly parksNothing?: boolean
  /** A blocked line is due as any other. */
  readonly retriesBlocked?: boolean
  /** A row that is gone already counts as expired once more. */
  readonly countsExpiredAgain?: boolean
  /** A move does not look whether the line is still there. */
  readonly movesWithoutLine?: boolean
  /** A skipped head that arrives all the same stays a dead letter. */
  readonly keepsSkipped?: boolean
  /** A delay ends by the clock of the process that reads. */
  readonly readsByForeignClock?: boolean
  /** A look for news brings nothing else where the clock stands before the marks. */
  readonly trustsMarks?: boolean
}

/**
 * An in-memory database as PostgreSQL behaves where the relay can tell: transaction ids at the first insert, numbers at
 * each insert (so that they commit out of order), key locks to the end of the transaction, snapshots that list as open
 * only what is below their xmax. Every effect takes place at one moment, chosen by the schedule.
 */
export class Database {
  tables: Tables = new Tables()
  server = 'server-1'
  inRecovery = false
  failovers = 0
  /** What its clock is ahead of the processes' clocks. */
  skew = 0
  /** The most that ever was, and the least. */
  readonly skews = { most: 0, least: 0 }
  /** The latest that its clock has shown. */
  latest = 0
  /** From the moment a read looked to that of its answer, at most so far. */
  longestReadMs = 0
  /** Statements that took effect after their callers had given up on them. */
  lateEffects = 0
  readonly ledger: Map<string, Committed> = new Map()
  /** Rows that rolled back, or whose commit a fail-over lost. */
  readonly lost: Set<string> = new Set()
  /** Given up while their key went on. */
  readonly everSkipped: Set<string> = new Set()
  /** Thrown away by an operator. */
  readonly everPurged: Set<string> = new Set()
  /** How often each row expired. */
  readonly expiries: Map<string, number> = new Map()
  /** Ids that were ever counted as lost. */
  readonly everLost: Set<string> = new Set()
  /** Rows that were ever taken, with the claims of their partition then. */
  readonly everTaken: Map<string, number> = new Map()
  readonly everTakenIds: Set<string> = new Set()
  /** Claims of each partition so far; unlike epochs they never fall back. */
  readonly claims: Map<number, number> = new Map()
  readonly flaws: DatabaseFlaws
  #replica: Tables = new Tables()
  #writers = 0
  #ids = 0
  #commits = 0

  constructor(partitions: number, flaws: DatabaseFlaws = {}) {
    this.flaws = flaws
    for (let i = 0; i < partitions; i++) this.tables.leases.set(i, { owner: null, epoch: 0n, until: 0 })
    this.#replica = this.tables.copy()
  }

  setSkew(skew: number): void {
    this.skew = skew
    this.skews.most = Math.max(this.skews.most, skew)
    this.skews.least = Math.min(this.skews.least, skew)
  }

  begin(): Transaction {
    const { tables } = this
    const xid = tables.nextXid
    tables.nextXid += 1n
    const transaction = {
      writer: (this.#writers += 1),
      xid,
      isPrepared: false,
      rows: [],
      locks: new Set<string>(),
    }
    tables.open.push(transaction)
    return transaction
  }

  /** PROTOCOLS 2: xid, lock, number. `null` where the writer would wait for the lock. */
  insert(
    writer: Transaction,
    partition: number,
    channel: string,
    key: string | null,
    isOrdered: boolean,
    times: { readonly notBefore: number | null; readonly createdAt: number },
  ): StoredRow | null {
    const { tables } = this
    if (isOrdered && key !== null) {
      if (this.isLocked(channel, key, writer)) return null
      writer.locks.add(lockOf(channel, key))
    }
    const seq = tables.nextSeq
    tables.nextSeq += 1n
    const id = `m${(this.#ids += 1)}`
    const row = { partition, seq, id, xid: writer.xid, writer: writer.writer, channel, key, ...times }
    writer.rows.push(row)
    return row
  }

  commit(writer: Transaction): void {
    this.#end(writer)
    this.tables.committed.add(writer.writer)
    for (const row of writer.rows) {
      this.tables.rows.set(nameOf(row), row)
      if (!this.ledger.has(row.id)) this.ledger.set(row.id, { row, order: (this.#commits += 1) })
    }
  }

  rollBack(writer: Transaction): void {
    this.#end(writer)
    for (const row of writer.rows) this.lost.add(row.id)
  }

  snapshot(): Snapshot {
    const xmax = this.tables.latestCompleted + 1n
    const open = this.tables.open.filter((each) => each.xid < xmax).map((each) => each.xid)
    return { xmax, open }
  }

  remove(refs: readonly RowRef[]): void {
    this.statement()
    const { rows, lines, dead } = this.tables
    for (const ref of refs) {
      rows.delete(nameOf(ref))
      if (dead.get(nameOf(ref))?.isSkipped === true && this.flaws.keepsSkipped !== true)
        dead.delete(nameOf(ref))
      if (this.flaws.removesByNumberAlone === true) {
        for (const [name, row] of rows)
          if (row.partition === ref.partition && row.seq === ref.seq) rows.delete(name)
      }
      const isParked = lines.get(nameOf(ref))?.state === 'parked'
      if (isParked && this.flaws.removesParkedLines !== true) continue
      if (lines.delete(nameOf(ref)) && this.flaws.removesWithoutRewind !== true) this.rewind(ref.partition)
    }
  }

  take(batch: string, asked: readonly TakenRow[]): TakeOutcome[] {
    this.statement()
    const { rows, taken } = this.tables
    const mine: TakenRow[] = []
    const outcomes = asked.map((row): TakeOutcome => {
      if (!this.#isLast(row)) return 'fenced'
      if (!rows.delete(nameOf(row))) return 'gone'
      mine.push(row)
      this.everTaken.set(nameOf(row), this.claims.get(row.partition) ?? 0)
      this.everTakenIds.add(row.id)
      return 'taken'
    })
    if (mine.length > 0) taken.set(batch, mine)
    return outcomes
  }

  endTaken(batch: string, losses: readonly Loss[]): void {
    this.statement()
    // Made again after a lost answer it changes nothing; nor where a fail-over has taken the line away.
    const line = this.tables.taken.get(batch) ?? []
    this.tables.taken.delete(batch)
    for (const { id } of losses) if (line.some((row) => row.id === id)) this.everLost.add(id)
  }

  fencedState(partition: number): FencedState {
    return this.tables.fenced.get(partition) ?? { number: 0n, lineage: null }
  }

  removeFenced(
    leased: LeasedPartition,
    note: { readonly number: bigint; readonly lineage: string },
    rows: readonly RowRef[],
  ): boolean {
    if (!this.#isLast(leased)) return false
    this.remove(rows)
    const { partition } = leased
    // One whose caller had given up on it may come after its successor.
    if (note.number > this.fencedState(partition).number) this.tables.fenced.set(partition, note)
    return true
  }

  block(lines: readonly BlockedLine[], now: number): LineOutcome[] {
    this.statement()
    return lines.map((line) => {
      const outcome = this.#check(line)
      if (outcome !== 'written') return outcome
      const { partition, seq, id, channel, key, attempts, retryInMs } = line
      const isWaiting = retryInMs === null
      const retryAt = isWaiting ? (this.flaws.retriesBlocked === true ? now : Infinity) : now + retryInMs
      const state = isWaiting ? 'blocked' : 'retrying'
      this.tables.lines.set(nameOf(line), { partition, seq, id, channel, key, state, attempts, retryAt })
      return outcome
    })
  }

  bury(letters: readonly DeadLetter[]): LineOutcome[] {
    this.statement()
    const { rows, lines } = this.tables
    return letters.map((letter) => {
      const outcome = this.#check(letter)
      const row = rows.get(nameOf(letter))
      if (outcome !== 'written' || row === undefined) return outcome
      this.entomb(row, 'head')
      if (letter.parks === true && this.flaws.parksNothing !== true) {
        const { partition, seq, id, channel, key } = row
        const line = { partition, seq, id, channel, key, attempts: letter.attempts }
        lines.set(nameOf(row), { ...line, state: 'parked', retryAt: Infinity })
      } else if (letter.parks !== true) this.everSkipped.add(row.id)
      this.rewind(row.partition)
      return outcome
    })
  }

  moveFollowers(followers: readonly Follower[]): FollowerOutcome[] {
    this.statement()
    return followers.map((follower) => {
      const outcome = this.#check(follower)
      const row = this.tables.rows.get(nameOf(follower))
      if (outcome !== 'written' || row === undefined) return outcome
      const isParked = this.parkedLine(row) !== undefined
      if (!isParked && this.flaws.movesWithoutLine !== true) return 'unparked'
      this.entomb(row, 'follower')
      return outcome
    })
  }

  lose(lost: readonly LostRow[]): LineOutcome[] {
    this.statement()
    return lost.map((each) => {
      const outcome = this.#check(each)
      const isAgain = outcome === 'gone' && this.flaws.countsExpiredAgain === true
      if (outcome !== 'written' && !isAgain) return outcome
      this.tables.rows.delete(nameOf(each))
      if (this.tables.lines.delete(nameOf(each))) this.rewind(each.partition)
      if (each.cause !== 'expired' && each.cause !== 'expired-in-doubt') this.everLost.add(each.id)
      else this.expiries.set(each.id, (this.expiries.get(each.id) ?? 0) + 1)
      return outcome
    })
  }

  /** The line that parks the key of a row. */
  parkedLine({ channel, key }: Pick<StoredRow, 'channel' | 'key'>): StoredLine | undefined {
    if (key === null) return undefined
    return [...this.tables.lines.values()].find(
      (line) => line.state === 'parked' && line.channel === channel && line.key === key,
    )
  }

  /** From the outbox to the dead letters, its own line with it. */
  entomb(row: StoredRow, as: 'head' | 'follower' | 'skipped'): void {
    const { rows, lines, dead } = this.tables
    rows.delete(nameOf(row))
    if (lines.get(nameOf(row))?.state !== 'parked') lines.delete(nameOf(row))
    dead.set(nameOf(row), { ...row, isFollower: as === 'follower', isSkipped: as === 'skipped' })
  }

  rewind(partition: number): void {
    const { rewinds } = this.tables
    rewinds.set(partition, (rewinds.get(partition) ?? 0n) + 1n)
  }

  /** A consumer's own transaction settled a row, and its process died before the line went. */
  settleElsewhere(name: string): StoredRow | null {
    const row = this.tables.rows.get(name)
    if (row === undefined) return null
    this.statement()
    this.tables.rows.delete(name)
    return row
  }

  claim(owner: string, most: number, now: number, leaseMs: number): LeasedPartition[] {
    this.statement()
    const gained: LeasedPartition[] = []
    for (const [partition, lease] of this.tables.leases) {
      if (gained.length >= most || (lease.owner !== null && lease.until > now)) continue
      const epoch = lease.epoch + 1n
      this.tables.leases.set(partition, { owner, epoch, until: now + leaseMs })
      this.claims.set(partition, (this.claims.get(partition) ?? 0) + 1)
      gained.push({ partition, epoch })
      this.#countTaken(partition)
    }
    return gained
  }

  renew(owner: string, held: readonly LeasedPartition[], now: number, leaseMs: number): LeasedPartition[] {
    return held.filter(({ partition, epoch }) => {
      const lease = this.tables.leases.get(partition)
      if (lease?.owner !== owner || lease.epoch !== epoch) return false
      this.tables.leases.set(partition, { owner, epoch, until: now + leaseMs })
      return true
    })
  }

  /** The owner's session lock is free, or it gave the leases back: others may claim them at once. */
  free(owner: string, only: readonly LeasedPartition[] | null): void {
    for (const [partition, lease] of this.tables.leases) {
      const isMeant = only?.some((each) => each.partition === partition && each.epoch === lease.epoch) ?? true
      if (lease.owner === owner && isMeant) this.tables.leases.set(partition, { ...lease, owner: null })
    }
  }

  /** The replica has replayed everything up to here. */
  replicate(): void {
    this.#replica = this.tables.copy()
  }

  /** The replica takes over: what it had not replayed is gone, and ids and numbers are handed out again. */
  failOver(staysInRecovery: boolean): void {
    const before = this.tables
    this.tables = this.#replica.copy()
    this.failovers += 1
    this.server = `server-${this.failovers + 1}`
    this.inRecovery = staysInRecovery
    for (const { row } of this.ledger.values()) {
      if (before.committed.has(row.writer) && !this.tables.committed.has(row.writer)) this.lost.add(row.id)
    }
    // Sessions end with their server; prepared transactions do not.
    for (const each of [...this.tables.open]) if (!each.isPrepared) this.rollBack(each)
    this.#replica = this.tables.copy()
  }

  /** What an ended epoch took and did not end is possibly lost. */
  #countTaken(partition: number): void {
    for (const [batch, rows] of this.tables.taken) {
      const others = rows.filter((row) => row.partition !== partition)
      if (others.length === 0) this.tables.taken.delete(batch)
      else this.tables.taken.set(batch, others)
      for (const row of rows) if (row.partition === partition) this.everLost.add(row.id)
    }
  }

  isLocked(channel: string, key: string, except: Transaction | null): boolean {
    const lock = lockOf(channel, key)
    return this.tables.open.some((other) => other !== except && other.locks.has(lock))
  }

  #end(writer: Transaction): void {
    const { tables } = this
    tables.open.splice(tables.open.indexOf(writer), 1)
    if (writer.xid > tables.latestCompleted) tables.latestCompleted = writer.xid
  }

  /** A statement that writes is a transaction of its own: it moves xmax past writers that are still open. */
  statement(): void {
    this.#end(this.begin())
  }

  #isLast({ partition, epoch }: LeasedPartition): boolean {
    return this.flaws.checksNoEpoch === true || this.tables.leases.get(partition)?.epoch === epoch
  }

  #check(line: RowRef & { readonly epoch: bigint }): LineOutcome {
    if (!this.#isLast(line)) return 'fenced'
    return this.tables.rows.has(nameOf(line)) ? 'written' : 'gone'
  }
}
