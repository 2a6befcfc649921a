/**
 * Why a message stands in the outbox: `waiting` to be sent, its turn has come · `retrying`: it, or one before it in its key, is tried
 * again later · `blocked`: its key waits for an operator · `delayed`: not due yet.
 */
export type BacklogKind = 'waiting' | 'retrying' | 'blocked' | 'delayed'

export interface BacklogPart {
  readonly channel: string
  readonly kind: BacklogKind
  readonly count: number
  /** There are more than were looked at. */
  readonly isAtLeast: boolean
}

/** What a transport's relays have not sent yet. Changes nothing. */
export interface Backlog {
  /** The number of the newest message that is there now; what is published later has a higher one. */
  mark(transport: string): Promise<bigint>
  /** What is there of these channels up to the mark, counted up to a limit. */
  look(transport: string, channels: readonly string[], mark: bigint): Promise<readonly BacklogPart[]>
}
