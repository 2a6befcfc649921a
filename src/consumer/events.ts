import type { LossCause } from '../ports/outbox.ts'

/** What a consumer did, told as it happens; for counters and metrics. A listener that throws is ignored. */
export type ConsumerEvent =
  /** Handled in a committed transaction. */
  | { readonly type: 'handled'; readonly consumer: string; readonly channel: string; readonly count: number }
  /** Copies that the inbox kept from their handlers. */
  | {
      readonly type: 'duplicate'
      readonly consumer: string
      readonly channel: string
      readonly count: number
    }
  | {
      readonly type: 'failed'
      readonly consumer: string
      readonly channel: string
      readonly id: string
      readonly attempts: number
      readonly code: string
    }
  | {
      readonly type: 'dead'
      readonly consumer: string
      readonly channel: string
      readonly id: string
      readonly code: string
    }
  /** Of an at-most-once channel: its handler was started once and did not end in success. */
  | {
      readonly type: 'lost'
      readonly consumer: string
      readonly channel: string
      readonly id: string
      readonly cause: LossCause
      readonly code: string
    }
  /**
   * Deliveries of at-most-once channels that were not run here, because the broker did not say that it took their
   * settlement. They come again, unless it had taken it and the answer was lost.
   */
  | { readonly type: 'unsettled'; readonly consumer: string; readonly count: number }
  /** The broker was told that everything up to here is done; `count` deliveries more than before. */
  | { readonly type: 'settled'; readonly consumer: string; readonly count: number }
  /** The store, or the broker, could not be reached; it is tried again after a pause. */
  | { readonly type: 'unavailable'; readonly consumer: string; readonly code: string }

export type ConsumerListener = (event: ConsumerEvent) => void

/** A listener that cannot take its consumer down. */
export function guarded(listener: ConsumerListener | undefined): ConsumerListener {
  if (listener === undefined) return () => {}
  return (event) => {
    try {
      listener(event)
    } catch {
      // Counting may not cost a message.
    }
  }
}

/** `handled` and `duplicate` events of a batch, one for each channel that had any. */
export function tellDone(
  consumer: string,
  results: Iterable<{ readonly channel: string; readonly outcome: string }>,
  tell: ConsumerListener,
): void {
  for (const type of ['handled', 'duplicate'] as const) {
    const counts = new Map<string, number>()
    for (const { channel, outcome } of results) {
      if (outcome === type) counts.set(channel, (counts.get(channel) ?? 0) + 1)
    }
    for (const [channel, count] of counts) tell({ type, consumer, channel, count })
  }
}
