import fc from 'fast-check'
import { check } from '../check.ts'
import { Coverage, occurrences } from '../coverage.ts'
import { spy } from '../spies.ts'
import { runs } from '../steps.ts'

// WAYBILL_MODEL_SEED plays one seed again (with WAYBILL_MODEL_PATH the failing schedule alone); WAYBILL_MODEL_RUNS plays more.
const { WAYBILL_MODEL_SEED, WAYBILL_MODEL_PATH: path, WAYBILL_MODEL_RUNS } = process.env
const seed = Number(WAYBILL_MODEL_SEED)

/** What a search of schedules came to. */
export interface Searched {
  readonly failure: string | null
  /** What never occurred, and so was not tested. */
  readonly never: readonly string[]
}

const coverage = new Coverage()
spy(coverage)
const property = fc.property(runs, (run) => check(run, coverage))
const result = fc.check(property, {
  numRuns: Number(WAYBILL_MODEL_RUNS),
  seed,
  endOnFailure: true,
  ...(path === undefined ? {} : { path }),
})
const searched: Searched = {
  failure: result.failed ? explain(result.counterexamplePath!) : null,
  never: path === undefined ? occurrences.filter((what) => (coverage.counts.get(what) ?? 0) === 0) : [],
}
process.send!(searched)
process.disconnect()

/** A schedule that never comes to rest takes long for each attempt to shorten it: there is an end to them. */
function explain(foundPath: string): string {
  const again = `WAYBILL_MODEL_SEED=${seed} WAYBILL_MODEL_PATH=${foundPath}`
  process.stderr.write(`relay model: broken by ${again}\n`)
  const { errorInstance, counterexample } = fc.check(property, {
    ...{ seed, path: foundPath, numRuns: 1 },
    plugins: [fc.interruptAfterTimeLimit(60_000)],
  })
  const { message, stack } = (errorInstance ?? {}) as Partial<Error>
  return `${again}: ${message}\n${fc.stringify(counterexample)}\n${stack}`
}
