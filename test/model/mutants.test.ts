import fc from 'fast-check'
import { expect, it } from 'vitest'
import { Broken } from './broken.ts'
import { check } from './check.ts'
import { Coverage } from './coverage.ts'
import { mutants } from './mutants.ts'
import { runs } from './steps.ts'

// Nothing here waits for anything; a machine that is busy with other tests only takes longer.
const patienceMs = 300_000

it.each(mutants)(
  'finds a mind or a database that $name',
  // A fixed seed: whether a flaw is found must not be a matter of luck from one run to the next.
  ({ breaks, patch, seed = 7, ...mutant }) => {
    const restore = patch?.()
    try {
      const result = fc.check(
        fc.property(runs, (run) => check(run, new Coverage(), mutant)),
        { seed, numRuns: 40_000, endOnFailure: true },
      )
      expect(result.errorInstance).toBeInstanceOf(Broken)
      expect(breaks).toContain((result.errorInstance as Broken).invariant)
    } finally {
      restore?.()
    }
  },
  patienceMs,
)
