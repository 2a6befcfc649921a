/** A number from 0 (included) to 1 (excluded). */
export type Chance = () => number

/** The same numbers for the same seed (mulberry32). */
export function chanceOf(seed: number): Chance {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296
  }
}

/**
 * Draws from a bag that is filled again when it is empty: which comes next is chance, but none is spared for long, so that
 * a short run has killed each process too.
 */
export function drawer<T>(items: readonly T[], chance: Chance): () => T {
  let bag: T[] = []
  return () => {
    if (bag.length === 0) bag = [...items]
    return bag.splice(Math.floor(chance() * bag.length), 1)[0]!
  }
}
