import type { TransportCapabilities } from '../../src/kernel/capabilities.ts'
import type { Publisher, TransportDefinition } from '../../src/ports/transport.ts'

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

/** A transport to a broker that confirms, of which there is nothing but how it publishes. */
export function publishing(kind: string, publish: Publisher['publish']): TransportDefinition {
  return {
    kind,
    capabilities,
    open: () => ({
      kind,
      capabilities,
      openPublisher: async () => ({ publish, close: async () => {} }),
      close: async () => {},
    }),
  }
}
