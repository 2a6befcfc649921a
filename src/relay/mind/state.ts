import type { Fence } from './fence.ts'
import { Entries } from './entries.ts'
import type { Mark, OutboxRow } from '../../ports/outbox.ts'
import type { ChannelRules } from './types.ts'

/**
 * `waiting` to be sent · `sending`, or being taken for its one send · `removing`: confirmed, its delete under way · `writing`: its line, dead letter, move or
 * expiry under way · `settled`: done with, and kept only until a read issued after that has returned, because an older read may still
 * bring the row · `dropped`: forgotten; whatever still points at it passes it by.
 */
export type EntryState = 'waiting' | 'sending' | 'removing' | 'writing' | 'settled' | 'dropped'

/** A row the mind knows of. */
export interface Entry {
  readonly row: OutboxRow
  readonly partition: PartitionState
  readonly channel: ChannelState
  readonly pool: Pool
  /** `null` on an unordered channel. */
  readonly key: KeyState | null
  readonly bytes: number
  /** See `MindCore.histories`. */
  readonly history: number
  state: EntryState
  doubt: Doubt
  /** See {@link Entries}. */
  sameId: Entry | null
}

/** How often the fate of a row was unknown, and how much its destination had confirmed when that was last so. */
export interface Doubt {
  readonly times: number
  readonly confirmations: number
}

export const noDoubt: Doubt = { times: 0, confirmations: 0 }

/**
 * A closed key takes no rows: one of it left memory without being delivered, and its successors must not overtake it.
 * `lowest` is the lowest number dropped. It waits for its `queue` to run out, for its `line` to be written, for its followers'
 * `moves`, or for the `read` that is issued next; that read starts below `lowest` where `rereads` (no line covers the key), and
 * opens the key when it returns, before its rows are looked at.
 */
export interface Closed {
  lowest: bigint
  waitsFor: 'queue' | 'line' | 'moves' | 'read'
  rereads: boolean
  opensAtRead: number | null
}

/** Waiting rows that may go into one send together. */
export interface Lot {
  /** Keys with waiting rows and nothing under way, longest ready first. */
  readonly ready: Set<KeyState>
  /** Waiting rows without order. */
  loose: Entry[]
}

/**
 * The waiting rows of a channel. Those that failed before are sent alone, so they stand apart, a key where its head does:
 * many of them would keep the others waiting (P7).
 */
export interface Pool {
  readonly fresh: Lot
  readonly again: Lot
  /** Whose turn it is to send. */
  turn: 'fresh' | 'again'
}

export interface KeyState {
  /** Its channel's own. */
  readonly name: string
  readonly partition: PartitionState
  readonly channel: ChannelState
  readonly pool: Pool
  /** Waiting rows, by number. */
  queue: Entry[]
  /** Rows in the one send that carries this key, or expiring: nothing else of it is sent meanwhile. */
  sending: number
  /** Followers being moved beside its parked head. */
  moving: number
  closed: Closed | null
}

export interface PartitionState {
  readonly partition: number
  readonly epoch: bigint
  /** When the lease ends, by the local monotonic clock, reckoned from before it was asked for. */
  until: number
  floor: bigint
  /** How far its delayed rows have been read; `null` before the first read. */
  mark: Mark | null
  /** The rewind counter as the last read saw it; `null` before the first. */
  rewind: bigint | null
  /** How often all of it had to be read anew. What was passed by meanwhile, because a line was being written, is below the floor. */
  resets: number
  /** The lowest row that the next read has to bring again. */
  rereadFrom: bigint | null
  /** The last read that left nothing above the floor. */
  caughtUpAt: number
  isDraining: boolean
  /** False once the lease is lost: fates that come later find it so. */
  isHeld: boolean
  /** Rows sending, removing or writing. */
  busy: number
  readonly entries: Entries
  /** By channel, and by name. */
  readonly keys: Map<ChannelState, Map<string, KeyState>>
  /** Where channels of this lane have form `fence`. */
  readonly fence: Fence | null
  /** Of channels of form `fence`: their sends are of one partition each. */
  readonly pools: Map<ChannelState, Pool>
}

export interface ChannelState {
  readonly name: string
  readonly rules: ChannelRules
  /** Unless its form is `fence`: see {@link PartitionState.pools}. */
  readonly pool: Pool
  underway: number
  /** Messages the destination has confirmed. */
  confirmations: number
  /** Sends in a row that failed for everything in them. While above 0 the channel is probed with one message at a time. */
  failures: number
  /** What that failed with last. */
  code: string
  heldUntil: number | null
  /** Rows that an older read brings are passed by: the read of this number starts from floor 0. */
  acceptsFromRead: number
}

export function newPool(): Pool {
  return { fresh: newLot(), again: newLot(), turn: 'fresh' }
}

function newLot(): Lot {
  return { ready: new Set(), loose: [] }
}

/** Its own line brought it: it failed before. */
export function isRetry(entry: Entry): boolean {
  return entry.row.origin === 'retry'
}

export function lotOf(pool: Pool, entry: Entry): Lot {
  return isRetry(entry) ? pool.again : pool.fresh
}

export function lotsOf(pool: Pool): readonly Lot[] {
  return [pool.fresh, pool.again]
}

/** Whoever looks at them may forget them. */
export function* keysOf(partition: PartitionState): Iterable<KeyState> {
  for (const keys of partition.keys.values()) yield* keys.values()
}

export function newPartition(
  partition: number,
  epoch: bigint,
  until: number,
  fence: Fence | null,
): PartitionState {
  return {
    partition,
    epoch,
    until,
    floor: 0n,
    mark: null,
    rewind: null,
    resets: 0,
    rereadFrom: null,
    caughtUpAt: 0,
    isDraining: false,
    isHeld: true,
    busy: 0,
    entries: new Entries(),
    keys: new Map(),
    fence,
    pools: new Map(),
  }
}

export function newChannel(name: string, rules: ChannelRules): ChannelState {
  return {
    name,
    rules,
    pool: newPool(),
    underway: 0,
    confirmations: 0,
    failures: 0,
    code: '',
    heldUntil: null,
    acceptsFromRead: 0,
  }
}
