import type { StoreCapabilities } from '../kernel/capabilities.ts'
import type { Logger } from '../kernel/logger.ts'
import type { Backlog } from './backlog.ts'
import type { Bell } from './bell.ts'
import type { Census } from './census.ts'
import type { Checkpoints } from './checkpoints.ts'
import type { DeadLetters } from './dead-letters.ts'
import type { Cleaner } from './cleaner.ts'
import type { Gauge } from './gauge.ts'
import type { Inbox } from './inbox.ts'
import type { Keys } from './keys.ts'
import type { Lane } from './lane.ts'
import type { Layouts } from './layouts.ts'
import type { LeaseSession } from './leases.ts'
import type { Outbox } from './outbox.ts'
import type { OutboxWriter } from './outbox-writer.ts'
import type { Replays } from './replays.ts'
import type { SchemaAdmin } from './schema.ts'
import type { SentMessages } from './sent-messages.ts'
import type { TransactionRunner } from './transaction-runner.ts'

export interface StoreContext {
  readonly logger: Logger
  /** Shown by the server beside each connection. */
  readonly applicationName: string
  /** Time-out of each statement of the store's own. */
  readonly statementTimeoutMs: number
  /** How long a statement may wait for a row or key lock. */
  readonly lockTimeoutMs: number
  readonly leaseMs: number
  /** How long messages are kept after they were sent; 0: not at all, and nothing is paid for it. @default 0 */
  readonly retainMs?: number
}

/** A database that holds outbox and inbox, as `waybill.config` names it; nothing is connected yet. */
export interface StoreDefinition<Handle = unknown> {
  /** `postgres`, … */
  readonly kind: string
  readonly capabilities: StoreCapabilities
  /** Never set: carries the type of the transaction handle that handlers and `transaction()` get. */
  readonly handleType?: Handle
  open(context: StoreContext): Store
  /**
   * Where its server listens, if a proxy that stands there in its place would be taken for it; else `null`.
   * @default `null`
   */
  listensAt?(): HostPort | null
  /**
   * The same server and the same settings, and other tables of Waybill's: what it does touches none of this one's. A pool that was
   * passed in is not used; its options are.
   * @default it stays where it is, and `waybill prove` does not take it
   */
  elsewhere?(place: StorePlace): StoreDefinition<Handle>
}

export interface HostPort {
  readonly host: string
  readonly port: number
}

/** Where a store is moved to. */
export interface StorePlace {
  /** Of its tables. */
  readonly schema: string
  /** To be gone in place of the one to where its server listens. @default none */
  readonly way?: HostPort
}

/** An open store. It connects when first used. */
export interface Store {
  readonly kind: string
  readonly schema: SchemaAdmin
  readonly writer: OutboxWriter
  readonly inbox: Inbox
  readonly checkpoints: Checkpoints
  readonly census: Census
  readonly deadLetters: DeadLetters
  readonly keys: Keys
  readonly replays: Replays
  readonly layouts: Layouts
  readonly backlog: Backlog
  readonly transactions: TransactionRunner
  readonly bell: Bell
  readonly sent: SentMessages
  readonly cleaner: Cleaner
  /** The relay's hands on a lane, with connections of their own. */
  openOutbox(lane: Lane): Promise<Outbox>
  /** Joins a lane; see {@link LeaseSession}. */
  openLeases(lane: Lane): Promise<LeaseSession>
  openGauge(): Gauge
  /** Closes every connection the store opened itself; a pool that was passed in stays its owner's. */
  close(): Promise<void>
}
