import { randomInt } from 'node:crypto'
import { WaybillError } from '../../kernel/errors.ts'

export interface SimulateOptions {
  /** Of the first run; each further one has the next number. @default drawn, and told where a run fails */
  readonly seed?: number
  /** How often. @default 200 */
  readonly runs?: number
}

/**
 * Runs a scenario again and again, each time with another seed: for `deliver({ seed, faults: true })` of an instance that is made anew
 * in it, and whatever else should differ. It is the same again where handlers wait for nothing real. A few hundred interleavings of handlers and faults take a second or so.
 *
 * Rejects with `WB_PROOF_FAILED` at the first run that throws: its cause is what was thrown, and its message the seed, with which
 * `simulate({ seed, runs: 1 }, scenario)` does the same again. Resolves with the seeds that were run.
 */
export async function simulate(
  options: SimulateOptions,
  scenario: (seed: number) => Promise<void>,
): Promise<{ readonly firstSeed: number; readonly runs: number }> {
  const { seed: firstSeed = randomInt(2 ** 31), runs = 200 } = options
  for (let run = 0; run < runs; run++) {
    const seed = firstSeed + run
    try {
      await scenario(seed)
    } catch (cause) {
      const reason = cause instanceof Error ? cause.message : String(cause)
      throw new WaybillError(
        'WB_PROOF_FAILED',
        `Run ${run + 1} of ${runs} failed: ${reason} Again: simulate({ seed: ${seed}, runs: 1 }, …).`,
        { cause },
      )
    }
  }
  return { firstSeed, runs }
}
