import type { Clock, Random } from '../kernel/clock.ts'
import type { Logger } from '../kernel/logger.ts'
import type { Backoff } from '../kernel/retry.ts'
import type { Checkpoints } from '../ports/checkpoints.ts'
import type { Inbox } from '../ports/inbox.ts'
import type { TransactionRunner } from '../ports/transaction-runner.ts'
import type { SubscribeRequest, Subscription } from '../ports/transport.ts'
import type { ConsumerListener } from './events.ts'
import type { HandlerTable } from './handler.ts'

export interface BrokerConsumerOptions {
  /** Its name, and the consumer group at the broker. */
  readonly consumer: string
  readonly handlers: HandlerTable
  readonly subscribe: (request: SubscribeRequest) => Promise<Subscription>
  readonly inbox: Inbox
  readonly checkpoints: Checkpoints
  readonly transactions: TransactionRunner
  /** Messages in one transaction, at most. */
  readonly batchSize: number
  /** Messages in memory, at most; those that wait for settlement behind a failing one included. */
  readonly window: number
  /** How many messages of a stream run alone after each assignment, counted before they start (O6). */
  readonly cautious: number
  readonly maxAttempts: number
  /** Pauses between the attempts of a message. */
  readonly retry: Backoff
  /** Pauses while the store or the broker cannot be reached. */
  readonly trouble: Backoff
  readonly handlerTimeoutMs: number
  /** The server ends a transaction that stood idle so long; above `handlerTimeoutMs`. */
  readonly idleTimeoutMs: number
  /** How long the broker may take to answer a settlement. */
  readonly settleTimeoutMs: number
  /** How long `stop` waits for the handlers that run before it gives them up. */
  readonly stopTimeoutMs: number
  readonly clock: Clock
  readonly random: Random
  readonly logger: Logger
  readonly onEvent?: ConsumerListener
}
