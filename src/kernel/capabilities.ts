/** What a transport can do, and for how long it holds. Declared by its adapter; `compile` believes nothing else. */
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
  /** Answers durably for each message that it has it (`openPublisher`), or is local. */
  readonly confirms: boolean
  /** Can send once without an answer and without any retry (`openDispatcher`), or is local. */
  readonly dispatches: boolean
  /** Writes a batch and the note of what it held in one fenced transaction (`openFencedPublisher`). */
  readonly fences: boolean
  /** Consumes, transforms and produces in one transaction of its own (`SubscribeRequest.transforms`). */
  readonly transforms: boolean
  /** Hands messages of a key to a consumer in the order they were sent. */
  readonly keepsOrder: boolean
  /** A consumer can settle, and reads the answer. Where false nothing is ever delivered again. */
  readonly settles: boolean
  /** Streams have positions that a consumer may keep itself and start from (`SubscribeRequest.startAt`). */
  readonly seeks: boolean
  /**
   * The longest time after which the transport may hand over a message again by itself, in milliseconds: a log's retention, a
   * queue's. `null`: the adapter cannot know, the operator sets it.
   */
  readonly redeliveryMs: number | null
  /** For how long the transport itself drops copies of an id, in milliseconds; `null` where it does not. SQS FIFO: 300000. */
  readonly deduplicatesMs: number | null
  /** How long a fenced transaction may stay open, in milliseconds; `null` where `fences` is false. */
  readonly transactionTimeoutMs: number | null
  /** How long an idle fenced producer is remembered, in milliseconds (Kafka: `transactional.id.expiration.ms`); `null` where none. */
  readonly producerExpiryMs: number | null
}

/** What a store can do. */
export interface StoreCapabilities {
  /** Takes the number of an ordered message under a lock that lasts to the commit, so number order is commit order (W10). */
  readonly ordersCommits: boolean
  /** Can delete rows with a note of them in one durable statement (`Outbox.take`). */
  readonly takes: boolean
  /** Has an inbox in the handlers' transactions. */
  readonly hasInbox: boolean
  /** Keeps consumers' positions in the handlers' transactions. */
  readonly hasCheckpoints: boolean
}
