import type { FoundRow, RowRef } from '../../ports/outbox.ts'
import { bigintArray, intArray, placeArray, uuidArray } from './binary-arrays.ts'

/** Partitions, numbers and ids, as parameters. */
export function refsOf(rows: readonly RowRef[]): Buffer[] {
  return [
    intArray(rows, ({ partition }) => partition),
    bigintArray(rows, ({ seq }) => seq),
    uuidArray(rows, ({ id }) => id),
  ]
}

/** Of rows that have a place, each. */
export function placesOf(rows: readonly FoundRow[]): Buffer {
  return placeArray(rows, ({ place }) => place!)
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
