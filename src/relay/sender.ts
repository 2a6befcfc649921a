import type { OutboxRow } from '../ports/outbox.ts'
import type { Fate } from '../ports/transport.ts'

/**
 * Where a relay hands its rows: a transport's publisher, or the handlers of a consumer of the same database. Answers one
 * fate for each row, in order, within `timeoutMs` and a little. Sends may overlap, but never two of one key.
 */
export interface Sender {
  send(rows: readonly OutboxRow[], timeoutMs: number): Promise<readonly Fate[]>
}
