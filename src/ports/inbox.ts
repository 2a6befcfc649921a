import type { Envelope } from '../kernel/message.ts'
import type { LeasedPartition } from './lane.ts'
import type { Loss, RowRef } from './outbox.ts'
import type { SqlExecutor } from './sql.ts'

/** A message that a consumer gave up. */
export interface RefusedMessage {
  readonly envelope: Envelope
  readonly attempts: number
  readonly reason: 'attempts-exhausted' | 'rejected' | 'unreadable'
  readonly errorCode: string
  readonly error: string
}

/** What has been handled, per consumer: `inbox(consumer, message_id)` (I1). */
export interface Inbox {
  /**
   * In the handlers' transaction, before any handler: notes the ids as handled by `consumer` and returns those that were
   * not noted yet. An id that another transaction is just noting waits for its end, so of two copies one runs (I3).
   * Repeated ids in `ids` come back once.
   */
  admit(transaction: SqlExecutor, consumer: string, ids: readonly string[]): Promise<ReadonlySet<string>>
  /**
   * The same for a consumer of the same database: where it is the only one on the channel the outbox row is deleted in the
   * handlers' transaction and no inbox row is written; where there are several, an inbox row is. Returns the ids that are
   * this call's to handle. Waits for another transaction that holds one of the rows.
   */
  take(
    transaction: SqlExecutor,
    consumer: string,
    rows: readonly (RowRef & { readonly channel: string })[],
  ): Promise<ReadonlySet<string>>
  /**
   * Counts one more start of a message that runs alone, in a transaction of its own, before its handler runs (O6). Returns
   * the starts so far, this one included.
   */
  countStart(consumer: string, id: string): Promise<number>
  /** Takes one start back: its handler ended, and asked for a pause. */
  takeBackStart(consumer: string, id: string): Promise<void>
  /**
   * Gives a message up: inserts its inbox row and the dead letter in one transaction. Where the inbox row is there already,
   * nothing is written (another has handled it) and `false` is returned. In `transaction` where one is given, in one of its own
   * otherwise.
   */
  bury(consumer: string, message: RefusedMessage, transaction?: SqlExecutor): Promise<boolean>
  /**
   * Deletes at most `limit` inbox rows that were written more than `olderThanMs` ago by the database's clock (G1, G2), and
   * returns how many; 0 where nothing is left to delete. Rows stay whose message still waits in the outbox, has a line, or is a
   * dead letter of that consumer; they are looked at again when they are that old once more. Counted starts of that age go by the same
   * rules, all of them at each call. One process at a time: another that is at it meanwhile gets 0.
   */
  purge(olderThanMs: number, limit: number): Promise<number>
  /**
   * In the handler's transaction: whether the lease under which a row of `consumer` was taken is still its partition's last one. If
   * so, nobody claims the partition before the transaction has ended: what runs in it runs before anything a successor does.
   */
  holdsLease(transaction: SqlExecutor, consumer: string, lease: LeasedPartition): Promise<boolean>
  /** Adds to `losses`, in a transaction of its own: what a consumer at a broker lost. */
  countLosses(consumer: string, losses: readonly Loss[]): Promise<void>
}
