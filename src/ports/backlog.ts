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

/** Of a channel that was not asked for. */
export type BesidePart = Omit<BacklogPart, 'kind'>

/** What a transport's relays have not sent yet. Changes nothing. */
export interface Backlog {
  /** The number of the newest message that is there now; what is published later has a higher one. */
  mark(transport: string): Promise<bigint>
  /** What is there of these channels up to the mark, counted up to a limit. */
  look(transport: string, channels: readonly string[], mark: bigint): Promise<readonly BacklogPart[]>
  /**
   * What is there of the transport's other channels up to the mark. Of all that is there only the first rows are looked at, up to a
   * limit: what stands behind a long backlog of these channels is found once that is sent.
   */
  lookBeside(transport: string, channels: readonly string[], mark: bigint): Promise<readonly BesidePart[]>
}
