import type { TransportCapabilities } from '../kernel/capabilities.ts'
import type { Logger } from '../kernel/logger.ts'
import type { Envelope } from '../kernel/message.ts'
import type { AddressDesk } from './address-desk.ts'

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
  /** What is wrong with an address, in words, or `undefined` where it is one of this transport. @default any text is one */
  readonly addressFault?: (address: string) => string | undefined
  open(context: TransportContext): Transport
  /**
   * The same brokers, credentials and settings, and other names for all that it keeps there itself. Addresses and consumers are named by
   * whoever moves it.
   * @default it stays where it is, and `waybill prove` does not take it
   */
  elsewhere?(place: TransportPlace): TransportDefinition
  /** Throws `WB_PEER_MISSING` where the client is not installed. Absent where nothing is kept at a broker. */
  openDesk?(applicationName: string): Promise<AddressDesk>
}

/** Where a transport is moved to. */
export interface TransportPlace {
  /** What its own names there begin with. */
  readonly id: string
  /** No longer than this is a consumer that was killed waited for, in milliseconds, where the transport can choose. */
  readonly sessionTimeoutMs: number
  /** No longer than this may a request take, in milliseconds. */
  readonly requestTimeoutMs: number
  /** Told what could not be kept as it was configured, in a sentence. */
  readonly onDifference?: (sentence: string) => void
}

/** What a transport may be able to do: say whether it is there. */
export interface Reachable {
  /**
   * Asks the broker for a sign of life, over a connection of its own. Rejects where there is no answer within `timeoutMs` and a
   * little.
   */
  ping(timeoutMs: number): Promise<void>
}

export interface Transport extends Partial<Reachable> {
  readonly kind: string
  readonly capabilities: TransportCapabilities
  /** Absent where `capabilities.isLocal`. */
  openPublisher?(): Promise<Publisher>
  /** Absent where `capabilities.dispatches` is false, or where it is local. */
  openDispatcher?(): Promise<Dispatcher>
  /**
   * Absent where `capabilities.fences` is false. `outbox` names the outbox whose partitions it writes for: of two services on one
   * broker each fences its own alone.
   */
  openFencedPublisher?(outbox: string): Promise<FencedPublisher>
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
 * unreachable, topic missing); `send`, nobody is: this send had no time left to try it, or one before it of its key was not confirmed,
 * and the next one may at once.
 */
export type Fate =
  | { readonly outcome: 'confirmed' }
  | {
      readonly outcome: 'rejected'
      readonly scope: 'message' | 'destination' | 'send'
      readonly retryable: boolean
      readonly code: string
      readonly reason: string
      /** Not its time: it is tried again after so long, and this attempt does not count. @default it counts */
      readonly retryInMs?: number
      /** Nobody here can read it; it is kept for one who can. */
      readonly isUnreadable?: boolean
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

/** `dispatched`: handed to the network once; nobody answers for it · `dropped`: it certainly did not leave. */
export type Dispatch =
  | { readonly outcome: 'dispatched' }
  | { readonly outcome: 'dropped'; readonly code: string; readonly reason: string }

/**
 * Sends once: no answer is awaited beyond the socket and nothing is tried again on any layer, the client library's own
 * defaults included (B8). Resolves with one result for each message, in order; never rejects.
 */
export interface Dispatcher {
  dispatch(batch: readonly OutboundMessage[], timeoutMs: number): Promise<readonly Dispatch[]>
  /**
   * Whether what is dispatched to this address now would be taken by somebody: asked before rows are given up for it. False
   * where that is not known within `timeoutMs`; never rejects.
   */
  isReady(address: string, timeoutMs: number): Promise<boolean>
  /**
   * Resolves when nothing of what was dispatched can come behind what another sends from now on, or when that is not known within
   * `timeoutMs`; never rejects. Asked before another relay may send of the same keys. Left out where `dispatch` answers no sooner.
   */
  flush?(timeoutMs: number): Promise<void>
  close(): Promise<void>
}

/** What a fenced transaction says of itself: exactly the rows it carried, never a span. */
export interface FencedNote {
  /** Of the lease under which it was written. */
  readonly epoch: bigint
  /** Counts the transactions of an outbox partition, from 1, without a gap. */
  readonly number: bigint
  readonly rows: readonly { readonly seq: bigint; readonly id: string }[]
}

/** What a take-over found. */
export interface TakenOver {
  /** Of the last committed transaction; `null` where there has been none. */
  readonly last: FencedNote | null
  /** Names the place the notes are kept in (Kafka: cluster and topic id). Another one than before has forgotten them. */
  readonly lineage: string
}

export interface FencedMessage extends OutboundMessage {
  readonly seq: bigint
}

/**
 * `committed`: all of it, with its note · `rejected`: none of it; a fate for each message tells which was the trouble, the
 * others are rejected as `WB_ABORTED` ·
 * `fenced`: none of it, a successor has taken over · `unknown`: perhaps; take over anew to learn it.
 */
export type FencedOutcome =
  | { readonly outcome: 'committed' }
  | { readonly outcome: 'rejected'; readonly fates: readonly Fate[] }
  | { readonly outcome: 'fenced' }
  | { readonly outcome: 'unknown'; readonly code: string; readonly reason: string }

/** One writer for each outbox partition, fenced by the next one: exactly-once publishing (PROTOCOLS 6). */
export interface FencedPublisher {
  /**
   * Makes this the partition's only writer: whatever an earlier one has under way is aborted or committed for good when this
   * returns. Rejects where the broker cannot be reached in `timeoutMs`; it may be called again.
   */
  takeOver(partition: number, timeoutMs: number): Promise<TakenOver>
  /**
   * Writes messages and note in one transaction. One call at a time for each partition, after `takeOver`; after `fenced` or
   * `unknown` only a `takeOver` goes on. Never rejects.
   */
  publish(
    partition: number,
    note: Omit<FencedNote, 'rows'>,
    messages: readonly FencedMessage[],
    timeoutMs: number,
  ): Promise<FencedOutcome>
  /** The partition is another's now. A take-over of it that is under way rejects with `WB_ABORTED`, or may still be answered. */
  release(partition: number): Promise<void>
  close(): Promise<void>
}

/** A stream that was just assigned. */
export interface AssignedStream {
  readonly stream: string
  /** Names the log the stream's positions belong to (Kafka: cluster and topic id). In another one they mean nothing. */
  readonly lineage: string
}

export interface SubscribeRequest {
  /** The consumer group. */
  readonly consumer: string
  readonly channels: readonly { readonly channel: string; readonly address: string }[]
  /** Called when the broker took these streams away: their deliveries must not be settled any more. */
  readonly onRevoked: (streams: readonly string[]) => void
  /**
   * Called when the broker is about to take these streams away, or to assign them anew, and waits: nothing more of them is to begin.
   * Resolves when what had begun is settled, so that nobody handles it a second time. The transport waits for it as long as the
   * broker surely waits, and calls `onRevoked` then. @default what is under way is not waited for
   */
  readonly onRevoking?: (streams: readonly string[]) => Promise<void>
  /**
   * Asked at each assignment, before anything of these streams is delivered: where to start, by stream, in place of the
   * broker's own note. Streams it leaves out start where the broker says. Needs `capabilities.seeks`. If it rejects, the
   * assignment is tried again.
   */
  readonly startAt?: (streams: readonly AssignedStream[]) => Promise<ReadonlyMap<string, bigint>>
  /** Opens the transport's own transaction: `Subscription.commit` is there then. Needs `capabilities.transforms`. */
  readonly transforms?: boolean
}

/** What a transport tells of the streams that it had assigned. */
export type RevocationCalls = Pick<SubscribeRequest, 'onRevoked' | 'onRevoking'>

export type SettledPosition = Pick<Delivery, 'stream' | 'position' | 'assignment'>

/** `rejected`: nothing of it is there, and `fates` tell which output was the trouble. */
export type CommitResult =
  | { readonly outcome: 'committed' }
  | { readonly outcome: 'refused' }
  | { readonly outcome: 'rejected'; readonly fates: readonly Fate[] }
  | { readonly outcome: 'unknown'; readonly code: string; readonly reason: string }

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
  /** Whether the broker counts it as a member now, and so assigns streams to it; `undefined` where that cannot be told. */
  readonly isMember?: boolean | undefined
  /** The next deliveries, one at least; none when the signal aborted or the subscription was closed. */
  receive(most: number, signal: AbortSignal): Promise<readonly Delivery[]>
  /**
   * Everything in these streams up to these positions (included) is done. Resolves when the broker has answered, with
   * whether it took each of them: not so where the stream was revoked since, and its new owner decides. Rejects where the
   * broker did not answer.
   */
  settle(positions: readonly SettledPosition[]): Promise<readonly boolean[]>
  /**
   * Whether the stream of this position, which was settled, is this member's still, by the broker's own word: one that it gave
   * so short a time ago that no session can have ended since, or one that is asked for now. `false` where it gives none. There
   * where a stream can have another member before this one has heard so: a process that was stopped hears nothing.
   */
  stillHolds?(position: SettledPosition): Promise<boolean>
  /**
   * The same as `settle` in one transaction with messages to send, all or nothing (KIP-447). `unknown`: perhaps; the streams are assigned
   * anew from what the broker has. There where the request `transforms`.
   */
  commit?(
    positions: readonly SettledPosition[],
    outputs: readonly OutboundMessage[],
    timeoutMs: number,
  ): Promise<CommitResult>
  close(): Promise<void>
}
