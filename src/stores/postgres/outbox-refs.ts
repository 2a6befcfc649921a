import type { FoundRow, RowRef } from '../../ports/outbox.ts'

/** Array literals, built here: numbers and UUIDs need no escaping, which the driver would look for in each of them. */
export function refsOf(rows: readonly RowRef[]): string[] {
  let [partitions, seqs, ids] = ['', '', '']
  for (const { partition, seq, id } of rows) {
    partitions += `,${partition}`
    seqs += `,${seq}`
    ids += `,${id}`
  }
  return [partitions, seqs, ids].map(literalOf)
}

/** As {@link refsOf}. A place is a pair of numbers in brackets, with a comma that would part it. */
export function placesOf(rows: readonly FoundRow[]): string {
  let places = ''
  for (const { place } of rows) places += `,"${place}"`
  return literalOf(places)
}

function literalOf(listed: string): string {
  return `{${listed.slice(1)}}`
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
