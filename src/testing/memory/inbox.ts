import { idempotencyKey } from '../../kernel/ids.ts'
import type { CheckpointMove, Checkpoints } from '../../ports/checkpoints.ts'
import type { Inbox } from '../../ports/inbox.ts'
import type { SqlExecutor } from '../../ports/sql.ts'
import type { Records } from './records.ts'
import type { MemoryTransactions } from './transactions.ts'

/** What each consumer has handled, in memory. */
export function memoryInbox(transactions: MemoryTransactions, records: Records): Inbox {
  const handled = new Set<string>()
  const { starts } = records
  /** Which transaction is just noting an id. */
  const noting = new Map<string, SqlExecutor>()
  const nameOf = (consumer: string, id: string): string => `${consumer}\0${id}`

  const note = (transaction: SqlExecutor, name: string): void => {
    noting.set(name, transaction)
    transactions.onCommit(transaction, () => handled.add(name))
    const forget = (): void => void (noting.get(name) === transaction && noting.delete(name))
    void transactions.ended(transaction).then(forget)
  }
  const admit: Inbox['admit'] = async (transaction, consumer, ids) => {
    const fresh = new Set<string>()
    // In one order for everybody, so that no two wait for each other.
    for (const id of new Set(ids.toSorted())) {
      const name = nameOf(consumer, id)
      for (
        let other = noting.get(name);
        other !== undefined && other !== transaction;
        other = noting.get(name)
      )
        await transactions.ended(other)
      if (handled.has(name)) continue
      note(transaction, name)
      fresh.add(id)
    }
    // A copy that is kept from its handler is done with as well: its starts would else add up over the copies, and end in a failure.
    transactions.onCommit(transaction, () => {
      for (const id of ids) starts.delete(idempotencyKey(consumer, id))
    })
    return fresh
  }
  return {
    admit,
    take: (transaction, consumer, rows) =>
      admit(
        transaction,
        consumer,
        rows.map(({ id }) => id),
      ),
    async countStart(consumer, id) {
      const name = idempotencyKey(consumer, id)
      const count = (starts.get(name) ?? 0) + 1
      starts.set(name, count)
      return count
    },
    async takeBackStart(consumer, id) {
      const name = idempotencyKey(consumer, id)
      starts.set(name, (starts.get(name) ?? 1) - 1)
    },
    async bury(consumer, message, transaction) {
      const name = nameOf(consumer, message.envelope.id)
      if (handled.has(name)) return false
      const apply = (): void => {
        handled.add(name)
        starts.delete(idempotencyKey(consumer, message.envelope.id))
        records.bury(consumer, message)
      }
      if (transaction === undefined) apply()
      else transactions.onCommit(transaction, apply)
      return true
    },
    purge: async () => 0,
    holdsLease: async () => true,
    async countLosses(consumer, losses) {
      records.losses.push(...losses.map((loss) => ({ consumer, loss })))
    },
  }
}

/** Positions of consumers, moved in the handlers' transactions. */
export function memoryCheckpoints(transactions: MemoryTransactions): Checkpoints {
  const kept = new Map<string, bigint>()
  const nameOf = (consumer: string, stream: string): string => `${consumer}\0${stream}`
  return {
    async find(consumer, streams) {
      const found = new Map<string, bigint>()
      for (const { stream } of streams) {
        const next = kept.get(nameOf(consumer, stream))
        if (next !== undefined) found.set(stream, next)
      }
      return found
    },
    async advance(transaction, consumer, moves: readonly CheckpointMove[]) {
      for (const { stream, from, to } of moves) {
        const name = nameOf(consumer, stream)
        if ((kept.get(name) ?? null) !== from) return false
        transactions.onCommit(transaction, () => kept.set(name, to))
      }
      return true
    },
  }
}
