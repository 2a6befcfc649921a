import type { BatchHandler, Handler } from '../consumer/handler.ts'
import type { TransformHandler } from '../consumer/transform-entry.ts'
import type { SomeChannel } from '../outbox/channel.ts'
import type { Publish } from '../outbox/publish.ts'
import type { Send } from '../outbox/send.ts'
import type { CleanupDesk } from './cleanup.ts'
import type { BatchConsumeOptions, ConsumeOptions, TransformConsumeOptions } from './consume-options.ts'
import type { StatusSummary } from './inspection/summary.ts'
import type { DeadLetterDesk } from './dead-letters.ts'
import type { Drain } from './drain.ts'
import type { KeyDesk } from './keys.ts'
import type { Middleware } from './middleware.ts'
import type { PartitionDesk } from './partitions.ts'
import type { TransactionOptions, WaybillStatus } from './running.ts'
import type { SentDesk } from './sent.ts'
import type { SubscriptionDesk } from './subscriptions.ts'

/** A service's end of Waybill. Made by `createWaybill`. */
export interface Waybill<Handle = unknown> extends AsyncDisposable {
  /**
   * Writes one message, or `many(…)`, into the outbox in the transaction of the handle given. Resolves with the id, or the
   * ids in order. The message is sent if and only if that transaction commits.
   *
   * Throws, before anything is written: `WB_NO_TRANSACTION`, `WB_UNKNOWN_CHANNEL`, `WB_INVALID_PAYLOAD`, `WB_KEY_REQUIRED`,
   * `WB_UNSERIALISABLE`, `WB_NUL_CHARACTER`, `WB_MESSAGE_TOO_LARGE`, `WB_INVALID_HEADER`, `WB_INVALID_ID`, `WB_TOO_MANY_KEYS`,
   * `WB_INVALID_OPTION`; `WB_GUARANTEE_UNSUPPORTED` for a delay where there is order; `WB_BACKLOG_FULL`, which is retryable.
   */
  readonly publish: Publish
  /**
   * Sends one message, or `many(…)`, without a database transaction: once on an at-most-once channel, until it is confirmed on
   * the others. Works without `start()`. See {@link Send} for its errors.
   */
  readonly send: Send
  /**
   * Runs `work` in a transaction of its own: commits when it resolves, rolls back when it rejects. Statements that need not
   * be awaited one by one travel together where the connection pipelines.
   *
   * Resolves only when the commit was acknowledged. Throws `CommitOutcomeUnknownError` where its answer was lost; after any
   * other error nothing of it is stored.
   */
  transaction<T>(work: (tx: Handle) => Promise<T>, options?: TransactionOptions): Promise<T>
  /** Messages that were given up: to be looked at, replayed and purged. Works without `start()`. */
  readonly deadLetters: DeadLetterDesk
  /** Keys that are held by a message which fails: to be looked at, unblocked and skipped. Works without `start()`. */
  readonly keys: KeyDesk
  /** Messages that were kept after they were sent: to be replayed. Works without `start()`. */
  readonly sent: SentDesk
  /** Subscriptions of consumers over `local`: to be ended where one has gone for good. Works without `start()`. */
  readonly subscriptions: SubscriptionDesk
  /** Deletes what is past its retention at once. Works without `start()`. */
  readonly cleanup: CleanupDesk
  /** Waits until the relays have sent what is in the outbox now. */
  readonly drain: Drain
  /** Changes the number of partitions while everything runs. */
  readonly partitions: PartitionDesk
  /** Adds middleware around every `publish` and `send`, and every handler; the one that was given first is outermost. */
  use(middleware: Middleware): void
  /** Registers a handler; call it before `start()`. One handler for each channel and consumer. */
  consume<Payload, Input>(
    channel: SomeChannel<Payload, Input>,
    options: ConsumeOptions,
    handler: Handler<Payload, Handle>,
  ): void
  /** The same for a handler that takes all messages of the channel that came together, in order, in one call. */
  consume<Payload, Input>(
    channel: SomeChannel<Payload, Input>,
    options: BatchConsumeOptions,
    handler: BatchHandler<Payload, Handle>,
  ): void
  /**
   * The same for a transform: what its handler emits is committed with the position of its message, in one transaction of the
   * transport. It needs no store; without one a message that fails is tried again for ever.
   */
  consume<Payload, Input>(
    channel: SomeChannel<Payload, Input>,
    options: TransformConsumeOptions,
    handler: TransformHandler<Payload>,
  ): void
  /**
   * Brings the store's schema up to date and registers the channels. Returns the versions applied. A transport keeps the
   * partitions it has; `partitions.change` gives it others.
   */
  migrate(): Promise<readonly number[]>
  /** The migrations as SQL, for people who run them by hand. */
  printMigrations(): string
  /**
   * Checks the schema, registers the channels and starts the consumers and, unless `relay` is false, the relay. Resolves when
   * all of them run; where one cannot, what had started is stopped again and the error is thrown.
   */
  start(): Promise<void>
  /**
   * Takes nothing new, lets what is under way end (at most `stopTimeoutMs`), gives leases back and closes every connection
   * of its own. `start()` works again after it; a `send()` or `transaction()` after it opens connections anew, until the
   * next `stop()`.
   */
  stop(): Promise<void>
  /** `start()`, then waits for SIGINT, SIGTERM or `signal`, then `stop()`. A second signal ends the process at once. */
  run(signal?: AbortSignal): Promise<void>
  /** What this process does at the moment. */
  status(): WaybillStatus
  /**
   * What is where, as the store has it: per channel what waits, fails and lags, relays and what they hold, and warnings with what to
   * do. One bounded look on a connection of its own, whatever the backlog; works without `start()`. Throws `WB_STORE_UNREACHABLE`,
   * `WB_SCHEMA_MISSING`, `WB_SCHEMA_OUTDATED`, `WB_SCHEMA_TOO_NEW`, `WB_TIMED_OUT` or `WB_STORE_FAILED`.
   */
  inspect(): Promise<StatusSummary>
}
