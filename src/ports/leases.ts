import type { RelayReport } from '../kernel/census.ts'
import type { LeasedPartition } from './lane.ts'

export interface LaneSurvey {
  /** Relays on this lane whose registration is alive and that are not leaving, this one included. */
  readonly relays: number
  /**
   * How many of the others among them joined before this one. All relays of a lane see one order, so their shares add up to
   * its partitions.
   */
  readonly rank: number
  /** Partitions of this lane that can be claimed. */
  readonly partitions: number
  /** Those of this relay that nobody may hold any more: an old layout's that have run dry. To be given up by draining. */
  readonly closed: readonly number[]
}

/**
 * One relay's membership in a lane, on a connection of its own (R4). The owner's id is new for each session; while the
 * session lives it holds a session lock, so that its peers notice a SIGKILL at once. Losing the connection is losing every
 * lease: each method then throws, and the holder stops its work and opens a new session.
 */
export interface LeaseSession {
  readonly relayId: string
  /**
   * Puts off the end of the leases held, and of the registration, by the database's clock (R2). What is not returned is
   * lost: another relay has it, or its epoch moved on. One that `isLeaving` takes nothing any more: its peers share what it
   * gives back at once, and do not wait for its end. `report` is kept beside the registration, for people to see; without
   * one the last stays.
   */
  renew(
    held: readonly LeasedPartition[],
    isLeaving: boolean,
    report?: RelayReport,
  ): Promise<readonly LeasedPartition[]>
  /**
   * Takes at most `most` partitions whose lease has ended, or whose owner's session lock is free; each with a new epoch
   * (P5, P6). Partitions somebody else is just claiming are skipped. On a consumer's lane, rows of the partitions gained
   * that every subscribed consumer has already are removed too: their last owner died before it could.
   */
  claim(most: number): Promise<readonly LeasedPartition[]>
  /** While the number of partitions is being changed it also does the next step of that which has become possible. */
  survey(): Promise<LaneSurvey>
  /** Gives leases back at once. Those of an older epoch are left alone. */
  release(held: readonly LeasedPartition[]): Promise<void>
  /** Releases everything, ends the registration and closes the connection. Never throws. */
  close(): Promise<void>
}
