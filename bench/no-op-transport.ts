import type { TransportCapabilities } from '../src/kernel/capabilities.ts'
import type { TransportDefinition } from '../src/ports/transport.ts'

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

/** A transport that confirms everything at once, as the port demands, and sends nothing: what is left is our own cost. */
export function noOpTransport(): TransportDefinition {
  return {
    kind: 'none',
    capabilities,
    open: () => ({
      kind: 'none',
      capabilities,
      openPublisher: async () => ({
        publish: async (batch) => batch.map(() => ({ outcome: 'confirmed' as const })),
        close: async () => {},
      }),
      close: async () => {},
    }),
  }
}
