/** The invariants, by name: a mutant is told by the one it breaks. */
export type Invariant =
  | 'every committed row is handed on'
  | 'nothing of a rolled back transaction is handed on'
  | 'nothing is handed on before its time'
  | 'nothing expires before its time, and nothing is sent after it'
  | 'what expired is counted once'
  | 'a blocked or parked key sends nothing'
  | 'what a skip gave up is delivered or dead'
  | 'a follower lies beside a parked head'
  | 'first occurrences of a key are in commit order'
  | 'nothing twice without a fault'
  | 'no key is closed and no partition stuck for ever'
  | 'memory returns to nothing'
  | 'a failing message does not stop others'
  | 'attempts never exceed their limit'
  | 'lines and dead letters are of messages that failed themselves'
  | 'a relay with nothing to do rests'
  | 'no writer is accused of disorder without cause'
  | 'exactly once: a message is in the log once'
  | 'exactly once: a transaction begins when the rows of the last are deleted'
  | 'exactly once: it never stops without a fail-over'
  | 'at most once: nothing is sent twice'
  | 'at most once: nothing is sent before its take is acknowledged'
  | 'a zombie writes nothing, but deletes what it saw confirmed'
  | 'a send is of one channel, held rows, and one run of each key'

export class Broken extends Error {
  readonly invariant: Invariant

  constructor(invariant: Invariant, detail: string) {
    super(`${invariant}: ${detail}`)
    this.name = 'Broken'
    this.invariant = invariant
  }
}
