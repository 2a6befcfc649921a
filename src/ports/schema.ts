/** A channel as writers in any language find it in the store. */
export interface ChannelRegistration {
  readonly channel: string
  readonly transport: string
  /** Where the transport sends it: a Kafka topic, … */
  readonly address: string
  readonly ordered: boolean
  readonly maxBytes: number
  /** `false`: its messages are not kept after they were sent, whatever `retainMs` is. @default true */
  readonly retained?: boolean
}

/** A consumer of the same database: a row of its channels stays until it has been handled by each of them. */
export interface LocalSubscription {
  readonly consumer: string
  readonly channels: readonly string[]
}

/** A transport that has another number of partitions than was asked for: it got its own when it was first registered. */
export interface DifferingPartitions {
  readonly transport: string
  readonly partitions: number
}

export interface SchemaStatus {
  /** Version found in the database; 0 where there is no schema. */
  readonly found: number
  /** Version this code brings. */
  readonly known: number
  /** Code that knows only versions below this one may not run on the schema found. */
  readonly oldestCode: number
}

/** A local consumer's subscription to a channel that has ended, or would. */
export interface EndedSubscription {
  readonly channel: string
  /** Messages that waited for nobody else, and go with it; counted just before. */
  readonly released: number
  /** Nobody else subscribes: what waits is kept for whoever does next. */
  readonly isLast: boolean
}

/** The tables and their versions. Migrations are append-only and run under a lock, one process at a time (G5). */
export interface SchemaAdmin {
  /** Brings the schema to the version of this code. Returns the versions applied, oldest first. */
  migrate(): Promise<readonly number[]>
  /** The same as text, for people who run migrations themselves. */
  print(): string
  /** Names this outbox: a UUID that was made when its schema was. A restored copy has it too. */
  identity(): Promise<string>
  /** Throws `WB_SCHEMA_MISSING`, `WB_SCHEMA_OUTDATED` or `WB_SCHEMA_TOO_NEW` where this code may not run on it. */
  check(): Promise<SchemaStatus>
  /**
   * Makes channels known to writers in any language, gives each of `transports` its partitions where it has none, and
   * notes local subscriptions. Repeatable; throws `WB_CHANNEL_CONFLICT` where a channel is registered with another
   * transport or order and rows of it are waiting. Resolves with the transports that have had another number of partitions
   * before, and keep it: see `Layouts`.
   */
  register(
    channels: readonly ChannelRegistration[],
    subscriptions: readonly LocalSubscription[],
    partitions: number,
  ): Promise<readonly DifferingPartitions[]>
  /**
   * Ends the subscriptions of a local consumer and releases the rows that waited only for it; its dead letters stay. With `isDryRun` it
   * only tells what it would end. Throws `WB_STORE_CONFLICT` where a process of that consumer lives.
   */
  unsubscribe(
    consumer: string,
    options?: { readonly isDryRun?: boolean },
  ): Promise<readonly EndedSubscription[]>
}
