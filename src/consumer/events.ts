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
