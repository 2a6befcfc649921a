import type { TransportDefinition } from '../src/ports/transport.ts'
import { publishing } from '../test/fakes/publishing.ts'

/** A transport that confirms everything at once, as the port demands, and sends nothing: what is left is our own cost. */
export function noOpTransport(): TransportDefinition {
  return publishing('none', async (batch) => batch.map(() => ({ outcome: 'confirmed' as const })))
}
