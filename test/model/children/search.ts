import fc from 'fast-check'
import { check } from '../check.ts'
import { Coverage, occurrences } from '../coverage.ts'
import { spy } from '../spies.ts'
import { runs } from '../steps.ts'

// WAYBILL_MODEL_SEED plays one seed again (with WAYBILL_MODEL_PATH the failing schedule alone); WAYBILL_MODEL_RUNS plays more.
const { WAYBILL_MODEL_SEED, WAYBILL_MODEL_PATH: path, WAYBILL_MODEL_RUNS } = process.env
const seed = WAYBILL_MODEL_SEED === undefined ? undefined : Number(WAYBILL_MODEL_SEED)

/** What a search of schedules came to. */
export interface Searched {
  readonly runs: number
  readonly seed: number
  readonly failure: string | null
  /** What never occurred, and so was not tested. */
  readonly never: readonly string[]
}

const coverage = new Coverage()
spy(coverage)
const result = fc.check(
  fc.property(runs, (run) => check(run, coverage)),
  {
    numRuns: Number(WAYBILL_MODEL_RUNS),
    ...(seed === undefined ? {} : { seed }),
    ...(path === undefined ? {} : { path }),
  },
)
const { stack } = (result.errorInstance ?? {}) as { readonly stack?: string }
const searched: Searched = {
  runs: result.numRuns,
  seed: result.seed,
  failure: result.failed ? `${fc.defaultReportMessage(result)}\n${stack}` : null,
  never: path === undefined ? occurrences.filter((what) => (coverage.counts.get(what) ?? 0) === 0) : [],
}
process.send!(searched)
process.disconnect()
