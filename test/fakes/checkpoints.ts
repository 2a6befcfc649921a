import type { CheckpointMove, Checkpoints } from '../../src/ports/checkpoints.ts'
import type { SqlExecutor } from '../../src/ports/sql.ts'

interface Kept {
  readonly lineage: string
  readonly next: bigint
}

interface Open {
  readonly moves: Map<string, Kept>
  readonly locks: Set<string>
  readonly end: () => void
  readonly ended: Promise<void>
}

/**
 * Checkpoints in memory, with the row locks of a database: a second transaction that would move one waits for the end of the
 * first, and then sees what that has written.
 */
export class FakeCheckpoints implements Checkpoints {
  /** Next positions, by stream. */
  readonly kept: Map<string, Kept> = new Map()
  /** Called at each look, before it is answered. */
  onFind: () => Promise<void> | void = () => {}
  readonly #open = new Map<SqlExecutor, Open>()
  readonly #lockedBy = new Map<string, SqlExecutor>()

  next(stream: string): bigint | undefined {
    return this.kept.get(stream)?.next
  }

  async find(
    _consumer: string,
    streams: readonly { readonly stream: string }[],
  ): Promise<Map<string, bigint>> {
    await this.onFind()
    const found = new Map<string, bigint>()
    for (const { stream } of streams) {
      const next = this.next(stream)
      if (next !== undefined) found.set(stream, next)
    }
    return found
  }

  async advance(
    transaction: SqlExecutor,
    _consumer: string,
    moves: readonly CheckpointMove[],
  ): Promise<boolean> {
    const open = this.#openOf(transaction)
    for (const { stream, lineage, from, to } of moves) {
      for (;;) {
        const owner = this.#lockedBy.get(stream)
        if (owner === undefined || owner === transaction) break
        await this.#open.get(owner)?.ended
      }
      this.#lockedBy.set(stream, transaction)
      open.locks.add(stream)
      if ((this.next(stream) ?? null) !== from) return false
      open.moves.set(stream, { lineage, next: to })
    }
    return true
  }

  /** The transaction is over: what it moved is there, or not, and whoever waited for it goes on. */
  end(transaction: SqlExecutor, isCommitted: boolean): void {
    const open = this.#open.get(transaction)
    if (open === undefined) return
    this.#open.delete(transaction)
    if (isCommitted) for (const [stream, kept] of open.moves) this.kept.set(stream, kept)
    for (const stream of open.locks) this.#lockedBy.delete(stream)
    open.end()
  }

  #openOf(transaction: SqlExecutor): Open {
    let open = this.#open.get(transaction)
    if (open === undefined) {
      const { promise, resolve } = Promise.withResolvers<void>()
      open = { moves: new Map(), locks: new Set(), end: resolve, ended: promise }
      this.#open.set(transaction, open)
    }
    return open
  }
}
