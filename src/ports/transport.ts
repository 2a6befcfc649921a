import type { Logger } from '../kernel/logger.ts'
import type { Envelope } from '../kernel/message.ts'

export interface TransportCapabilities {
  /**
   * One batch may carry several messages of a key: they arrive in the order given, or fail as a suffix. If false a key has
   * one message under way at a time.
   */
  readonly ordersBatch: boolean
  /** Hands messages to consumers of the same database, without a broker: it has no publisher. */
  readonly isLocal: boolean
  /** Largest payload with headers, in bytes. */
  readonly maxBytes: number
}

export interface TransportContext {
  readonly logger: Logger
  readonly applicationName: string
  /** CloudEvents `source` of what this service publishes. */
  readonly source: string
}

/** A broker or wire, as `waybill.config` names it; nothing is connected yet. */
export interface TransportDefinition {
  /** `kafka`, `local`, … */
  readonly kind: string
  readonly capabilities: TransportCapabilities
  open(context: TransportContext): Transport
}

export interface Transport {
  readonly kind: string
  readonly capabilities: TransportCapabilities
  /** Absent where `capabilities.isLocal`. */
  openPublisher?(): Promise<Publisher>
  /** Absent where `capabilities.isLocal`. */
  subscribe?(request: SubscribeRequest): Promise<Subscription>
  close(): Promise<void>
}

export interface OutboundMessage {
  readonly envelope: Envelope
  /** Where it goes: a Kafka topic, … */
  readonly address: string
}

/**
 * What became of one message of a batch. Three outcomes, never two:
 * `confirmed`: the broker answered that it has it, durably · `rejected`: it certainly does not have it · `unknown`: it may
 * have it (no answer, connection lost).
 *
 * `scope` of a rejection: `message`, this one is the trouble, others may pass; `destination`, nothing passes now (broker
 * unreachable, topic missing).
 */
export type Fate =
  | { readonly outcome: 'confirmed' }
  | {
      readonly outcome: 'rejected'
      readonly scope: 'message' | 'destination'
      readonly retryable: boolean
      readonly code: string
      readonly reason: string
    }
  | { readonly outcome: 'unknown'; readonly code: string; readonly reason: string }

/**
 * Sends batches. `publish` may be called again before the last call has returned; calls keep their order per key. It
 * resolves with one fate for each message, in order, within `timeoutMs` and a little; it never rejects. A client library's
 * own retries stay inside `timeoutMs`; past it a message is `unknown`.
 */
export interface Publisher {
  publish(batch: readonly OutboundMessage[], timeoutMs: number): Promise<readonly Fate[]>
  close(): Promise<void>
}

export interface SubscribeRequest {
  /** The consumer group. */
  readonly consumer: string
  readonly channels: readonly { readonly channel: string; readonly address: string }[]
  /** Called when the broker took these streams away: their deliveries must not be settled any more. */
  readonly onRevoked: (streams: readonly string[]) => void
}

/** A message as the broker handed it over. */
export interface Delivery {
  /** `null` where it could not be decoded: `raw` is then what arrived, and it costs only itself (O4). */
  readonly envelope: Envelope | null
  readonly raw: { readonly payload: Uint8Array; readonly error: string } | null
  /** What the broker keeps in order: a Kafka topic partition (`topic/3`), … */
  readonly stream: string
  /** Grows within a stream. */
  readonly position: bigint
  /** Changes whenever the stream was assigned anew: a delivery of an older assignment is stale. */
  readonly assignment: number
}

/**
 * A consumer's membership at the broker. Deliveries of a stream come in order. Reconnects and resumes by itself (I8); a
 * message that was delivered and not settled is delivered again, here or elsewhere.
 */
export interface Subscription {
  /** The next deliveries, one at least; none when the signal aborted or the subscription was closed. */
  receive(most: number, signal: AbortSignal): Promise<readonly Delivery[]>
  /**
   * Everything in these streams up to these positions (included) is done. Resolves when the broker has answered. Positions
   * of a stream that was revoked since are ignored: its new owner decides.
   */
  settle(positions: readonly Pick<Delivery, 'stream' | 'position' | 'assignment'>[]): Promise<void>
  close(): Promise<void>
}
