import { backoffMs } from '../../kernel/retry.ts'
import type { BlockedLine, DeadLetter, LineOutcome, RowRef } from '../../ports/outbox.ts'
import type { Fate } from '../../ports/transport.ts'
import type { MindCore } from './core.ts'
import type { Entry } from './state.ts'
import type { Command } from './types.ts'

type Failed = Exclude<Fate, { outcome: 'confirmed' }>
type Removal = { readonly row: RowRef; readonly entry: Entry | null }
type Write = { readonly entry: Entry; readonly resets: number } & (
  | { readonly kind: 'block'; readonly line: BlockedLine }
  | { readonly kind: 'bury'; readonly letter: DeadLetter }
)

/**
 * What follows a fate in the database: deletes of what was confirmed, lines and dead letters of what failed. A write that
 * fails is made again: each is right however often it is made.
 */
export class Finishing {
  readonly #core: MindCore
  #removing: { readonly remove: number; readonly removals: readonly Removal[] } | null = null
  #lastRemove = 0
  #removeFailures = 0
  #removeAt = 0
  #queue: Write[] = []
  #writing: { readonly write: number; readonly writes: readonly Write[] } | null = null
  #lastWrite = 0
  #writeFailures = 0
  #writeAt = 0

  constructor(core: MindCore) {
    this.#core = core
  }

  get isIdle(): boolean {
    return (
      this.#removing === null &&
      this.#core.removals.length === 0 &&
      this.#writing === null &&
      this.#queue.length === 0
    )
  }

  confirmed(entry: Entry): void {
    const isHeld = entry.partition.isHeld
    if (isHeld) entry.state = 'removing'
    else this.#core.counters.lateConfirms += 1
    this.#core.removals.push({ row: entry.row, entry: isHeld ? entry : null })
  }

  /** Closes the key by `closeKey` and queues the line or the dead letter. */
  failed(entry: Entry, fate: Failed, verdict: 'line' | 'dead', closeKey: () => void): void {
    entry.state = 'writing'
    closeKey()
    const { row } = entry
    const attempts = row.attempts + 1
    const { partition, seq, id, channel } = row
    const { resets } = entry.partition
    const ref = { partition, seq, id, channel, epoch: entry.partition.epoch, attempts }
    const cause = { errorCode: fate.code, error: fate.reason }
    if (verdict === 'line') {
      const retryInMs = backoffMs(attempts, entry.channel.rules.retry, this.#core.options.random)
      const line = {
        ...ref,
        ...cause,
        key: entry.key === null ? null : row.key,
        retryInMs,
      }
      this.#queue.push({ entry, resets, kind: 'block', line })
    } else {
      const letter = { ...ref, ...cause, reason: reasonOf(fate) }
      this.#queue.push({ entry, resets, kind: 'bury', letter })
    }
  }

  issue(now: number): Command[] {
    const commands: Command[] = []
    if (this.#removing === null && this.#core.removals.length > 0 && now >= this.#removeAt) {
      const removals = this.#core.removals.splice(0, this.#core.options.removeLimit)
      const remove = (this.#lastRemove += 1)
      this.#removing = { remove, removals }
      commands.push({ type: 'remove', remove, rows: removals.map((removal) => removal.row) })
    }
    if (this.#writing === null && this.#queue.length > 0 && now >= this.#writeAt) {
      const command = this.#issueWrite()
      if (command !== null) commands.push(command)
    }
    return commands
  }

  removed(remove: number): void {
    if (this.#removing?.remove !== remove) return
    const { removals } = this.#removing
    this.#removing = null
    this.#removeFailures = 0
    for (const { entry } of removals) {
      if (entry === null) continue
      this.#core.settle(entry)
      // The server that said so may not be the one read now, or the row was not there yet; reads have passed it by since.
      if (entry.history !== this.#core.histories) this.#core.reread(entry.partition, entry.row.seq)
    }
  }

  removeFailed(remove: number, now: number): void {
    if (this.#removing?.remove !== remove) return
    this.#core.removals.unshift(...this.#removing.removals)
    this.#removing = null
    this.#removeFailures += 1
    this.#removeAt = now + this.#pause(this.#removeFailures)
  }

  written(write: number, outcomes: readonly LineOutcome[]): void {
    if (this.#writing?.write !== write) return
    const { writes } = this.#writing
    this.#writing = null
    this.#writeFailures = 0
    writes.forEach(({ entry, kind, resets }, i) => {
      const { partition, key } = entry
      if (!partition.isHeld) return
      const outcome = outcomes[i]
      if (outcome === 'fenced') {
        this.#core.refused(partition)
        return
      }
      if (kind === 'bury' && outcome === 'written') this.#core.counters.buried += 1
      this.#core.settle(entry)
      // A line covers the key, and a dead letter raised the rewind; where the row was gone neither did. Nor do they where
      // the partition was read anew before this answer came: the rewind is seen already, an operator took the line away
      // again, or it was written on a server that is not read any more. What came of the key since was passed by.
      const isReset = partition.resets !== resets
      if (key !== null) this.#core.reopen(key, isReset || outcome !== 'written')
      else if (isReset) this.#core.reread(partition, entry.row.seq)
    })
  }

  writeFailed(write: number, now: number): void {
    if (this.#writing?.write !== write) return
    this.#queue.unshift(...this.#writing.writes)
    this.#writing = null
    this.#writeFailures += 1
    this.#writeAt = now + this.#pause(this.#writeFailures)
  }

  nextTry(): number {
    const removeAt = this.#removing === null && this.#core.removals.length > 0 ? this.#removeAt : Infinity
    const writeAt = this.#writing === null && this.#queue.length > 0 ? this.#writeAt : Infinity
    return Math.min(removeAt, writeAt)
  }

  #issueWrite(): Command | null {
    this.#queue = this.#queue.filter((write) => write.entry.partition.isHeld)
    const kind = this.#queue[0]?.kind
    if (kind === undefined) return null
    const writes = this.#queue.filter((write) => write.kind === kind).slice(0, this.#core.options.removeLimit)
    const chosen = new Set(writes)
    this.#queue = this.#queue.filter((write) => !chosen.has(write))
    const write = (this.#lastWrite += 1)
    this.#writing = { write, writes }
    if (kind === 'block') {
      const lines = writes.flatMap((each) => (each.kind === 'block' ? [each.line] : []))
      return { type: 'block', write, lines }
    }
    const letters = writes.flatMap((each) => (each.kind === 'bury' ? [each.letter] : []))
    return { type: 'bury', write, letters }
  }

  #pause(failures: number): number {
    return backoffMs(failures, { initialMs: 50, maxMs: 1000 }, this.#core.options.random)
  }
}

function reasonOf(fate: Failed): DeadLetter['reason'] {
  if (fate.outcome === 'rejected' && fate.isUnreadable === true) return 'unreadable'
  return fate.outcome === 'rejected' && !fate.retryable ? 'rejected' : 'attempts-exhausted'
}
