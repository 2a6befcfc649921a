import type { Loss, OutboxRow } from '../ports/outbox.ts'
import type { Fate, FencedNote, FencedOutcome, FencedPublisher } from '../ports/transport.ts'

/**
 * Where a relay hands its rows: a transport's publisher, or the handlers of a consumer of the same database. Answers one
 * fate for each row, in order, within `timeoutMs` and a little. Sends may overlap, but never two of one key.
 */
export interface Sender {
  send(rows: readonly OutboxRow[], timeoutMs: number): Promise<readonly Fate[]>
}

/** `null`: sent, or handled. Otherwise why the message is lost. */
export type OnceResult = Pick<Loss, 'cause' | 'code'> | null

/**
 * Where a relay hands rows that it has deleted already: a transport's dispatcher, or the handlers of a consumer of the same
 * database. Each is tried once.
 */
export interface OnceSender {
  /**
   * False while it is known that nothing can be sent (no broker is reachable): then nothing is taken and the rows wait. Asked
   * before each take, never after it. Answers within `timeoutMs`; a rejection is a no.
   */
  isReady?(channel: string, timeoutMs: number): Promise<boolean>
  /** See `Dispatcher.flush`. */
  flush?(timeoutMs: number): Promise<void>
  /**
   * One result for each row, in order, within `timeoutMs` and a little; what has no result, and everything where it rejects,
   * is counted as lost. Sends may overlap, but never two of one key. `epochs` are of the leases under which the rows were taken.
   */
  send(
    rows: readonly OutboxRow[],
    timeoutMs: number,
    epochs: readonly bigint[],
  ): Promise<readonly OnceResult[]>
}

/** Where a relay hands rows for fenced transactions: a transport's fenced publisher, told where each channel goes. */
export interface FencedSender extends Pick<FencedPublisher, 'takeOver' | 'release'> {
  /** See `FencedPublisher.publish`. */
  publish(
    partition: number,
    note: Omit<FencedNote, 'rows'>,
    rows: readonly OutboxRow[],
    timeoutMs: number,
  ): Promise<FencedOutcome>
}
