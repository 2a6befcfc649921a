import { diagnostic } from '../kernel/diagnostics.ts'
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
  /** What could not be reached is there again, or nothing is left to do there. */
  | { readonly type: 'recovered'; readonly consumer: string }

export type ConsumerListener = (event: ConsumerEvent) => void

const diagnostics = {
  handled: diagnostic('waybill.consumer.handled'),
  duplicate: diagnostic('waybill.consumer.duplicate'),
  failed: diagnostic('waybill.consumer.failed'),
  dead: diagnostic('waybill.consumer.dead'),
  lost: diagnostic('waybill.consumer.lost'),
  unavailable: diagnostic('waybill.consumer.unavailable'),
} as const

/** Ids and the broker's progress are for listeners of this consumer alone: they would have no bound as labels (S13). */
function toDiagnostics(event: ConsumerEvent): void {
  switch (event.type) {
    case 'handled':
    case 'duplicate': {
      const { type, consumer, channel, count } = event
      if (diagnostics[type].hasSubscribers) diagnostics[type].publish({ consumer, channel, count })
      break
    }
    case 'failed':
    case 'dead': {
      const { type, consumer, channel, code } = event
      if (diagnostics[type].hasSubscribers) diagnostics[type].publish({ consumer, channel, code })
      break
    }
    case 'lost': {
      const { consumer, channel, cause } = event
      if (diagnostics.lost.hasSubscribers) diagnostics.lost.publish({ consumer, channel, cause })
      break
    }
    case 'unavailable': {
      const { consumer, code } = event
      if (diagnostics.unavailable.hasSubscribers) diagnostics.unavailable.publish({ consumer, code })
      break
    }
    case 'unsettled':
    case 'settled':
    case 'recovered':
      break
  }
}

/** Tells the diagnostics channels and a listener, which cannot take its consumer down. */
export function guarded(listener: ConsumerListener | undefined): ConsumerListener {
  return (event) => {
    toDiagnostics(event)
    if (listener === undefined) return
    try {
      listener(event)
    } catch {
      // Counting may not cost a message.
    }
  }
}

/** `handled` and `duplicate` events of a batch, one for each channel that had any. `outcomes` are those of `messages`, in order. */
export function tellDone(
  consumer: string,
  messages: readonly { readonly channel: string }[],
  outcomes: readonly { readonly outcome: string }[],
  tell: ConsumerListener,
): void {
  for (const type of ['handled', 'duplicate'] as const) {
    const counts = new Map<string, number>()
    for (const [i, { outcome }] of outcomes.entries()) {
      if (outcome !== type) continue
      const { channel } = messages[i]!
      counts.set(channel, (counts.get(channel) ?? 0) + 1)
    }
    for (const [channel, count] of counts) tell({ type, consumer, channel, count })
  }
}
