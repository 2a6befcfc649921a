import type { BacklogStatus } from '../outbox/backlog-watch.ts'
import type { News } from '../ports/bell.ts'
import type { HealthCheck } from '../kernel/monitoring.ts'
import type { RelayStatus } from '../relay/relay.ts'

export interface TransactionOptions {
  readonly signal?: AbortSignal
}

/** Running totals of `send()` since the instance was made. */
export interface SendCounters {
  /** At-most-once messages that left: nobody answers for them. */
  readonly dispatched: number
  readonly confirmed: number
  /** At-most-once messages that certainly did not leave. */
  readonly dropped: number
}

export type PartStatus =
  | { readonly kind: 'transports'; readonly names: readonly string[] }
  /** Inbox rows that were past their retention. */
  | { readonly kind: 'cleanup'; readonly forgotten: number }
  /** Whether this process hears what others write; where not, its polling finds it. */
  | { readonly kind: 'wake-ups'; readonly isListening: boolean }
  /** `place`: where it listens; `null` where it does not. */
  | { readonly kind: 'monitor'; readonly place: { readonly host: string; readonly port: number } | null }
  /** Of each channel with `maxPending` that was published on here. */
  | { readonly kind: 'backlog'; readonly channels: readonly BacklogStatus[] }
  | { readonly kind: 'sends'; readonly counters: SendCounters }
  | { readonly kind: 'relay'; readonly relay: RelayStatus | null }
  | {
      readonly kind: 'consumer'
      readonly consumer: string
      readonly transport: string
      readonly counters: ConsumerCounters
    }

/** Running totals of a consumer since it was started. */
export interface ConsumerCounters {
  readonly handled: number
  /** Copies that the inbox kept from the handler. */
  readonly duplicates: number
  readonly failed: number
  readonly dead: number
  /** At-most-once messages that were settled or taken, or possibly so, and then not handled; the store counts them in `losses`. */
  readonly lost: number
  /** At-most-once messages that were not run here, because their settlement was refused (they come again) or not answered (`lost` too). */
  readonly unsettled: number
}

export interface WaybillStatus {
  readonly isRunning: boolean
  readonly parts: readonly PartStatus[]
}

/** Something that was started and has to be stopped again. */
export interface Running {
  /** It takes on work and may take its time to stop: all of these are told to at once. @default false */
  readonly isWorker?: boolean
  stop(): Promise<void>
  /** For whom it may be: parts that read the outbox. */
  wake(news: News): void
  status(): PartStatus
  /** What of it can be unwell. @default nothing */
  checks?(): readonly HealthCheck[]
}
