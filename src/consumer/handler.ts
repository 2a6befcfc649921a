import { WaybillError } from '../kernel/errors.ts'
import type { Envelope, Message } from '../kernel/message.ts'
import type { ConsumerForm } from '../guarantees/plan.ts'
import type { SomeChannel } from '../outbox/channel.ts'

export interface HandlerContext<Transaction = unknown> {
  /**
   * The client of the transaction the handler runs in: what is written and published through it commits together with the
   * note that the message was handled.
   */
  readonly tx: Transaction
  /** Aborts when the handler is past its time or the consumer gives up waiting for it; its transaction rolls back then. */
  readonly signal: AbortSignal
  /** 1 for the first try. Tries that ran in a batch and were redone alone are not counted. */
  readonly attempt: number
  /**
   * Names this message at this consumer: the same text in every run, in every process and for every copy. Hand it to an API
   * that takes an idempotency key, or keep it beside an effect that is outside the transaction.
   */
  readonly idempotencyKey: string
}

/** The same for a handler of many messages at once. */
export interface BatchContext<Transaction = unknown> extends Omit<
  HandlerContext<Transaction>,
  'idempotencyKey'
> {
  /** One for each message, in their order; see {@link HandlerContext.idempotencyKey}. */
  readonly idempotencyKeys: readonly string[]
}

/** Handles one message. What it throws rolls its transaction back, and the message is tried again later. */
export type Handler<Payload = unknown, Transaction = unknown> = (
  message: Message<Payload>,
  context: HandlerContext<Transaction>,
) => Promise<void> | void

/**
 * Handles messages of one channel, in order: as many as came together, one at least. What it throws rolls all of them back,
 * and they are tried again one by one.
 */
export type BatchHandler<Payload = unknown, Transaction = unknown> = (
  messages: readonly Message<Payload>[],
  context: BatchContext<Transaction>,
) => Promise<void> | void

/** A channel that a consumer handles. */
export interface HandlerEntry {
  readonly channel: SomeChannel
  /** How its messages are handled, from the channel's compiled plan. */
  readonly form: ConsumerForm
  /**
   * How long a call of the handler may take.
   * @default the setting of all
   */
  readonly timeoutMs?: number
  /**
   * Transactions with messages of this channel at one time, at most. The order of each key is kept.
   * @default 1
   */
  readonly concurrency?: number
  // A method, so that a handler of one payload type can stand in a table of them; the payload is checked on arrival.
  handle(message: Message, context: HandlerContext): Promise<void> | void
  /** Where it is there, messages of the channel that follow each other in a transaction go to it in one call, and none to `handle`. */
  handleAll?(messages: readonly Message[], context: BatchContext): Promise<void> | void
}

/** By channel name. */
export type HandlerTable = ReadonlyMap<string, HandlerEntry>

/**
 * What a message is kept in order with, or `null` where nothing. A message of a channel nobody here knows counts as
 * ordered: it is not ours to say that it is not.
 */
export function orderKey(handlers: HandlerTable, envelope: Envelope): string | null {
  if (envelope.key === null) return null
  const entry = handlers.get(envelope.channel)
  return entry !== undefined && !entry.channel.ordered ? null : `${envelope.channel}\0${envelope.key}`
}

/** Why a message of a channel that nobody here handles cannot be run. */
export function noHandler(consumer: string, envelope: Envelope): WaybillError {
  return new WaybillError(
    'WB_UNKNOWN_CHANNEL',
    `Consumer "${consumer}" has no handler for channel "${envelope.channel}" of message ${envelope.id}.`,
  )
}
