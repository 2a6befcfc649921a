import type { MessageHeaders } from '../kernel/message.ts'
import type { SqlExecutor } from './sql.ts'

export interface NewMessage {
  readonly id: string
  readonly key: string | null
  readonly payload: Uint8Array
  readonly contentType: string
  readonly headers: MessageHeaders
}

/** Until when messages wait: a moment, or milliseconds from the moment they are stored. Both by the database's clock. */
export type Delay = { readonly at: Date } | { readonly ms: number }

export interface Appended {
  /** The database's id of the transaction, by which an unknown commit can be resolved later. */
  readonly transactionId: string
}

/**
 * Writes messages into the outbox inside a transaction that the caller owns.
 *
 * One statement for any number of messages of one channel (W8), numbered in the order given. On an ordered channel the
 * statement takes, in this order: the transaction's id, a transaction-scoped lock on each key (sorted), the numbers; so
 * that per key the order of numbers is the order of commits (W10, PROTOCOLS 2). The locks are held until the transaction
 * ends.
 *
 * With a `delay` none of them is delivered before its time. An ordered channel takes none: `WB_GUARANTEE_UNSUPPORTED`. One that
 * is longer than 366 days is refused with `WB_INVALID_OPTION`.
 *
 * Throws `WB_UNKNOWN_CHANNEL` where the channel is not registered in the store, `WB_SCHEMA_MISSING` where the schema is
 * not there, `WB_STORE_CONFLICT` (retryable) on a deadlock or lock time-out. On a throw nothing of the call is stored;
 * the transaction is the caller's to roll back.
 */
export interface OutboxWriter {
  append(
    transaction: SqlExecutor,
    channel: string,
    messages: readonly NewMessage[],
    delay: Delay | null,
  ): Promise<Appended>
}
