import type { FencedState, RowRef } from '../../src/ports/outbox.ts'

/** A row of `outbox`. Immutable, so that a replica may share it. */
export interface StoredRow extends RowRef {
  readonly xid: bigint
  /** Names the writing transaction for ever; its xid may be handed out again after a fail-over. */
  readonly writer: number
  readonly channel: string
  readonly key: string | null
  /** By the database's clock. */
  readonly notBefore: number | null
  readonly createdAt: number
}

/** A row of `dead`. */
export interface StoredLetter extends StoredRow {
  readonly isFollower: boolean
  /** An operator gave it up. */
  readonly isSkipped: boolean
}

export interface Transaction {
  readonly writer: number
  readonly xid: bigint
  isPrepared: boolean
  readonly rows: StoredRow[]
  /** Ordered keys it has locked, to its end. */
  readonly locks: Set<string>
}

export interface StoredLine extends RowRef {
  readonly channel: string
  readonly key: string | null
  readonly state: 'retrying' | 'blocked' | 'parked'
  readonly attempts: number
  readonly retryAt: number
}

/** A row in a line of `taken`: its end has not been noted. */
export interface TakenEntry extends RowRef {
  readonly epoch: bigint
}

export interface Lease {
  readonly owner: string | null
  readonly epoch: bigint
  readonly until: number
}

/** All that a server holds, and all that falls back when a replica that lagged is promoted. */
export class Tables {
  nextXid = 100n
  latestCompleted = 99n
  nextSeq = 1n
  /** Running or prepared. */
  readonly open: Transaction[] = []
  readonly committed: Set<number> = new Set()
  readonly rows: Map<string, StoredRow> = new Map()
  readonly lines: Map<string, StoredLine> = new Map()
  readonly dead: Map<string, StoredLetter> = new Map()
  /** By batch. */
  readonly taken: Map<string, readonly TakenEntry[]> = new Map()
  /** The last fenced transaction whose rows were deleted, by partition. */
  readonly fenced: Map<number, FencedState> = new Map()
  readonly rewinds: Map<number, bigint> = new Map()
  readonly leases: Map<number, Lease> = new Map()

  /** What a replica that has replayed everything up to now would hold. */
  copy(): Tables {
    const copy = new Tables()
    copy.nextXid = this.nextXid
    copy.latestCompleted = this.latestCompleted
    copy.nextSeq = this.nextSeq
    for (const each of this.open)
      copy.open.push({ ...each, rows: [...each.rows], locks: new Set(each.locks) })
    for (const each of this.committed) copy.committed.add(each)
    for (const [name, each] of this.rows) copy.rows.set(name, each)
    for (const [name, each] of this.lines) copy.lines.set(name, each)
    for (const [name, each] of this.dead) copy.dead.set(name, each)
    for (const [number, each] of this.fenced) copy.fenced.set(number, each)
    for (const [batch, each] of this.taken) copy.taken.set(batch, each)
    for (const [number, each] of this.rewinds) copy.rewinds.set(number, each)
    for (const [number, each] of this.leases) copy.leases.set(number, each)
    return copy
  }
}

export function nameOf({ partition, seq, id }: RowRef): string {
  return `${partition}/${seq}/${id}`
}

export function lockOf(channel: string, key: string): string {
  return `${channel}/${key}`
}

/** When its age begins. */
export function dueAt({ createdAt, notBefore }: StoredRow): number {
  return Math.max(createdAt, notBefore ?? 0)
}
