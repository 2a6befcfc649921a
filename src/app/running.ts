import type { RelayStatus } from '../relay/relay.ts'

export type PartStatus =
  | { readonly kind: 'transports'; readonly names: readonly string[] }
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
}

export interface WaybillStatus {
  readonly isRunning: boolean
  readonly parts: readonly PartStatus[]
}

/** Something that was started and has to be stopped again. */
export interface Running {
  stop(): Promise<void>
  /** There may be something new in the outbox. */
  wake(): void
  status(): PartStatus
}
