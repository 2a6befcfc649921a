import type { Chance } from '../testing.ts'

/** Shares of a run's time, in milliseconds. A quarter of the time between baseline and drain is quiet. */
export interface Shares {
  /** Everything was started; until it is warm, and again until that has left no trace. */
  readonly startMs: number
  readonly baselineMs: number
  /** After each fault has been healed. */
  readonly quietMs: number
  /** Kept for the drain and the verdict. */
  readonly endMs: number
}

export function sharesOf(seconds: number): Shares {
  const ms = seconds * 1000
  return {
    startMs: Math.min(2000, ms * 0.05),
    baselineMs: Math.min(15_000, Math.max(2000, ms * 0.08)),
    quietMs: 700,
    endMs: Math.min(30_000, Math.max(5000, ms * 0.12)),
  }
}

/** In an order of chance (Fisher-Yates). */
export function shuffled<T>(items: readonly T[], chance: Chance): readonly T[] {
  const all = [...items]
  for (let i = all.length - 1; i > 0; i--) {
    const j = Math.floor(chance() * (i + 1))
    ;[all[i], all[j]] = [all[j]!, all[i]!]
  }
  return all
}

/** One of each kind, then the second of each, and so on: a short run meets every kind. */
export function inTurns<T>(items: readonly T[], kindOf: (item: T) => string): readonly T[] {
  const kinds = Map.groupBy(items, kindOf)
  const longest = Math.max(0, ...[...kinds.values()].map(({ length }) => length))
  return Array.from({ length: longest }, (_, turn) =>
    [...kinds.values()].flatMap((ofKind) => ofKind.slice(turn, turn + 1)),
  ).flat()
}

/** Of the kinds of faults the one after which messages come again whose effect is there. */
export const repeatingKind = 'lost commit'

/** What brings messages of consumers again comes first: a short run has no time for all, and would show no handler to be idempotent. */
export function repeatingFirst<T>(items: readonly T[], nameOf: (item: T) => string): readonly T[] {
  const repeats = (item: T): boolean => nameOf(item) === `${repeatingKind} consumers-postgres`
  return [...items.filter(repeats), ...items.filter((item) => !repeats(item))]
}
