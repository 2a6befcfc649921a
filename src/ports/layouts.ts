import type { BacklogPart } from './backlog.ts'

/** How many partitions a transport has, and whether a change of that is under way. */
export interface TransportLayout {
  readonly transport: string
  /** What new messages are shared out among. */
  readonly partitions: number
  /** A change was begun and has not come to its layout: run it again, or ask for the present number to undo it. */
  readonly isChanging: boolean
  /** Older layouts that still have rows, or whose partitions a relay still holds. */
  readonly older: number
}

/** What stands in older layouts. Rows of ordered channels hold the new one up: it is opened when none is left. */
export interface LayoutRemains extends BacklogPart {
  readonly ordered: boolean
}

/** Blocked keys of an ordered channel: a layout with one does not run dry until an operator unblocks or skips it. */
export interface HoldingKeys {
  readonly channel: string
  /** The local consumer, or `''` where a relay sends them. */
  readonly consumer: string
  readonly count: number
  /** There are more than were looked at. */
  readonly isAtLeast: boolean
}

/** What a change waits for. */
export type LayoutWait =
  /** Transactions that began before writers knew of the change: a server process, or a prepared transaction by its name. */
  | { readonly for: 'transactions'; readonly count: number; readonly oldest: string }
  /** Transactions that have published and have not ended. */
  | { readonly for: 'writers' }

export interface LayoutChange {
  /** Until the new layout is there an abort undoes what was begun. */
  readonly signal: AbortSignal
  /** Told about once a second while something is waited for. */
  readonly onWait: (wait: LayoutWait) => void
}

/** Changes the number of partitions of a transport on a live outbox, with order kept by key. */
export interface Layouts {
  look(transports: readonly string[]): Promise<readonly TransportLayout[]>
  /**
   * Gives a transport a layout of so many new partitions. When it resolves every row of an older layout is committed, and
   * every row to come goes into the new one; relays open that by themselves when the older ones have run dry. Where the
   * transport has that number already, a change that was begun and not ended is undone, and nothing else happens.
   *
   * One at a time; it may be called again after whatever failure. Throws `WB_STORE_CONFLICT` where another one is under way,
   * `WB_ABORTED`, `WB_INVALID_OPTION` where the transport is not registered or no numbers are left.
   */
  change(transport: string, partitions: number, change: LayoutChange): Promise<void>
  /** Keys that hold a change up, begun or not, counted up to a limit. Parked ones do not: they have no row in the outbox. */
  blocked(transport: string): Promise<readonly HoldingKeys[]>
  /** What stands in older layouts, counted up to a limit. */
  remains(transport: string): Promise<readonly LayoutRemains[]>
}
