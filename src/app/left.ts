import type { LeftReason } from '../ports/dead-letters.ts'

/** What was left where it is, and why. */
export interface Left {
  readonly why: LeftReason
  readonly count: number
}

/** Adds up by reason. */
export class LeftCounts {
  readonly #counts = new Map<LeftReason, number>()

  add(left: readonly Left[]): void {
    for (const { why, count } of left) this.#counts.set(why, (this.#counts.get(why) ?? 0) + count)
  }

  get list(): readonly Left[] {
    return [...this.#counts].map(([why, count]) => ({ why, count }))
  }
}

/** The report as callers get it. */
export function plain<Report extends { readonly left: LeftCounts }>(
  report: Report,
): Omit<Report, 'left'> & { readonly left: readonly Left[] } {
  return { ...report, left: report.left.list }
}
