import type { RowRef } from '../../ports/outbox.ts'

/** Array literals, built here: numbers and UUIDs need no escaping, which the driver would look for in each of them. */
export function refsOf(rows: readonly RowRef[]): unknown[] {
  const literal = (pick: (row: RowRef) => number | bigint | string): string => `{${rows.map(pick).join(',')}}`
  return [literal((row) => row.partition), literal((row) => row.seq), literal((row) => row.id)]
}

/** One answer for the row asked about at `place`, counted from 1. */
export interface OutcomeRow<Outcome extends string> {
  readonly place: string
  readonly outcome: Outcome
}

export function outcomesOf<Outcome extends string>(
  asked: readonly RowRef[],
  rows: readonly OutcomeRow<Outcome>[],
): readonly Outcome[] {
  const byPlace = new Map(rows.map((row) => [Number(row.place), row.outcome]))
  return asked.map((_, i) => byPlace.get(i + 1)!)
}
