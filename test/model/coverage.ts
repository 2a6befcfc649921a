/** What a model run met. A run in which nothing interesting happened proves nothing. */
export const occurrences = [
  'late row',
  'cut late list',
  'list entry at or above the last xmax',
  'long or prepared transaction ended',
  'rolled back',
  'read failed',
  'read in recovery',
  'rewind',
  'hold',
  'rows dropped by a hold',
  'key closed by memory',
  'key closed by a failed head',
  'key opened by a read below its floor',
  'older read brought a settled row',
  'settled elsewhere',
  'orphan removed',
  'line written',
  'line renewed',
  'line write failed after its effect',
  'line write failed before its effect',
  'row gone',
  'dead: rejected',
  'dead: attempts exhausted',
  'fenced',
  'start over',
  'late confirm',
  'doubt',
  'unknown alone counted',
  'suffix failed',
  'no answer for some',
  'arrived after its time-out',
  'delete failed after its effect',
  'delete failed before its effect',
  'statement took effect after its time-out',
  'unblocked',
  'replayed under its number',
  'replayed under a new number',
  'taken over early',
  'lease lost',
  'relay killed',
  'drained',
  'fail-over lost commits',
  'fail-over brought rows back',
  'others went on beside a failing message',
  'taken',
  'take found a row gone',
  'take fenced',
  'take failed before its effect',
  'take failed after its effect',
  'destination not ready',
  'dispatch lost some',
  'dispatch unanswered',
  'lost with its lease',
  'possibly lost, counted at a claim',
] as const

export type Occurrence = (typeof occurrences)[number]

export class Coverage {
  readonly counts: Map<Occurrence, number> = new Map()

  saw(what: Occurrence, times: number = 1): void {
    if (times > 0) this.counts.set(what, (this.counts.get(what) ?? 0) + times)
  }
}
