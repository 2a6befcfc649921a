/**
 * A lane is one stream of relay work over the outbox: all rows of a transport, read by relays that share its partitions; or,
 * where the transport hands messages to consumers of the same database (`local`), one consumer's view of those rows. Leases,
 * epochs, `blocked` lines and rewinds belong to a lane, so a broker that is down or a slow consumer costs the others
 * nothing.
 */
export interface Lane {
  readonly transport: string
  /** The consumer whose lane it is, or `''` for a transport's own lane. */
  readonly consumer: string
}

/** A partition as a lease holder knows it. Every effect that would be wrong twice is checked against the epoch (R1). */
export interface LeasedPartition {
  readonly partition: number
  /** Issued by the database at each claim; it only grows. */
  readonly epoch: bigint
}
