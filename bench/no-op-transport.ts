import type { TransportCapabilities } from '../src/kernel/capabilities.ts'
import type { TransportDefinition } from '../src/ports/transport.ts'

export interface NoOpTransport {
  readonly definition: TransportDefinition
  /** Resolves when so many messages have been confirmed. */
  reached(count: number): Promise<void>
}

/** A transport that confirms everything at once, as the port demands, and sends nothing: what is left is our own cost. */
export function noOpTransport(): NoOpTransport {
  let confirmed = 0
  let wanted = Number.POSITIVE_INFINITY
  const { promise, resolve } = Promise.withResolvers<void>()
  const capabilities: TransportCapabilities = {
    ordersBatch: true,
    isLocal: false,
    maxBytes: 1_048_576,
    confirms: true,
    dispatches: false,
    fences: false,
    transforms: false,
    keepsOrder: true,
    settles: true,
    seeks: false,
    redeliveryMs: 0,
    deduplicatesMs: null,
    transactionTimeoutMs: null,
    producerExpiryMs: null,
  }
  return {
    definition: {
      kind: 'none',
      capabilities,
      open: () => ({
        kind: 'none',
        capabilities,
        openPublisher: async () => ({
          publish: async (batch) => {
            confirmed += batch.length
            if (confirmed >= wanted) resolve()
            return batch.map(() => ({ outcome: 'confirmed' as const }))
          },
          close: async () => {},
        }),
        close: async () => {},
      }),
    },
    reached(count) {
      wanted = count
      if (confirmed >= wanted) resolve()
      return promise
    },
  }
}
