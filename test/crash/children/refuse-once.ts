import type { Fate, Publisher, TransportDefinition } from '../../../src/ports/transport.ts'

const refused: Fate = {
  outcome: 'rejected',
  scope: 'message',
  retryable: true,
  code: 'REFUSED_ONCE',
  reason: 'The broker refused it.',
}

/**
 * A transport whose broker refuses the first message of each key once, for that message alone, in each process: what makes a
 * relay write lines. All else reaches the real broker.
 */
export function refuseOnce(definition: TransportDefinition): TransportDefinition {
  return {
    ...definition,
    open: (context) => {
      const transport = definition.open(context)
      return {
        ...transport,
        openPublisher: async () => refusing(await transport.openPublisher!()),
      }
    },
  }
}

function refusing(publisher: Publisher): Publisher {
  const known = new Set<string | null>()
  return {
    async publish(batch, timeoutMs) {
      const fresh = new Set(batch.map(({ envelope }) => envelope.key).filter((key) => !known.has(key)))
      for (const key of fresh) known.add(key)
      // With the first of a key all later ones of the batch: a key's messages fail as a suffix.
      const passed = batch.filter(({ envelope }) => !fresh.has(envelope.key))
      const fates = passed.length === 0 ? [] : await publisher.publish(passed, timeoutMs)
      const answers = fates.values()
      return batch.map(({ envelope }) => (fresh.has(envelope.key) ? refused : answers.next().value!))
    },
    close: () => publisher.close(),
  }
}
