import fc from 'fast-check'
import { Broken, type Invariant } from '../broken.ts'
import { check } from '../check.ts'
import { Coverage } from '../coverage.ts'
import { mutants } from '../mutants.ts'
import { runs } from '../steps.ts'

/** What gave a mutant away. `null`: no schedule did, or it ended in another error than a broken invariant. */
export interface Found {
  readonly name: string
  readonly breaks: Invariant | null
  readonly error: string | null
}

for (const { name, patch, seed = 7, from = 0, ...mutant } of mutants) {
  const restore = patch?.()
  // A fixed seed: whether a flaw is found must not be a matter of luck from one run to the next.
  const { errorInstance } = fc.check(
    fc.property(runs, (run) => check(run, new Coverage(), mutant)),
    { seed, path: String(from), numRuns: 40_000, endOnFailure: true },
  )
  restore?.()
  const found: Found = {
    name,
    breaks: errorInstance instanceof Broken ? errorInstance.invariant : null,
    error: errorInstance instanceof Error ? (errorInstance.stack ?? null) : null,
  }
  process.send!(found)
}
process.disconnect()
