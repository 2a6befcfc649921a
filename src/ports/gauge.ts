/**
 * Tells how many messages of a channel wait, so that an overloaded outbox can be told to publishers. It has a connection of its
 * own, which is made when it is first asked.
 */
export interface Gauge {
  /**
   * Messages in the outbox that are due and not delivered, those that fail and those behind them too, counted up to `most`. On a
   * local transport a message counts until every subscribed consumer has it. One bounded look without locks, of a second at
   * most. A throw means that nothing is known.
   */
  count(channel: string, most: number): Promise<number>
  close(): Promise<void>
}
