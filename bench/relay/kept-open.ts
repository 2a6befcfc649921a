import type { Publisher, Transport, TransportDefinition } from '../../src/ports/transport.ts'

export interface KeptOpen extends AsyncDisposable {
  readonly definition: TransportDefinition
}

/**
 * A transport whose connections outlive the relay that stops: the next one finds them as warm as they are after the first messages
 * of a service, and the clock does not run while a producer looks for its broker.
 */
export function keptOpen(definition: TransportDefinition): KeptOpen {
  let transport: Transport | undefined
  let publisher: Promise<Publisher> | undefined
  return {
    definition: {
      ...definition,
      open(context) {
        const open = (transport ??= definition.open(context))
        return {
          kind: open.kind,
          capabilities: open.capabilities,
          async openPublisher() {
            const kept = await (publisher ??= open.openPublisher!())
            return { publish: (batch, timeoutMs) => kept.publish(batch, timeoutMs), close: async () => {} }
          },
          close: async () => {},
        }
      },
    },
    async [Symbol.asyncDispose]() {
      const kept = await publisher
      await kept?.close()
      await transport?.close()
    },
  }
}
