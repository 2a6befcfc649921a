import fc from 'fast-check'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { check } from './check.ts'
import { Coverage, occurrences } from './coverage.ts'
import { spy } from './spies.ts'
import { runs, type Run } from './steps.ts'

// WAYBILL_MODEL_SEED plays one seed again (with WAYBILL_MODEL_PATH the failing schedule alone); WAYBILL_MODEL_RUNS plays more.
const { WAYBILL_MODEL_SEED, WAYBILL_MODEL_PATH, WAYBILL_MODEL_RUNS } = process.env
const seed = WAYBILL_MODEL_SEED === undefined ? undefined : Number(WAYBILL_MODEL_SEED)
const numRuns = Number(WAYBILL_MODEL_RUNS ?? 15_000)

// Nothing here waits for anything; a machine that is busy with other tests only takes longer.
const patienceMs = Math.max(300_000, 30 * numRuns)

const coverage = new Coverage()
let restore: () => void

beforeAll(() => {
  restore = spy(coverage)
})

afterAll(() => restore())

it(
  'hands on every committed row, in order of its key and once without a fault, whatever the schedule',
  () => {
    const path = WAYBILL_MODEL_PATH
    const result = fc.check(
      fc.property(runs, (run) => check(run, coverage)),
      { numRuns, ...(seed === undefined ? {} : { seed }), ...(path === undefined ? {} : { path }) },
    )
    process.stderr.write(`relay model: ${result.numRuns} runs, WAYBILL_MODEL_SEED=${result.seed}\n`)
    if (result.failed)
      throw new Error(fc.defaultReportMessage(result) ?? 'the model failed', { cause: result.errorInstance })
    if (path !== undefined) return
    const never = occurrences.filter((what) => (coverage.counts.get(what) ?? 0) === 0)
    expect(never, 'what never occurred was not tested').toEqual([])
  },
  patienceMs,
)

const insert = (a: number, b: number): Run['steps'][number] => ({ do: 'insert', a, b })

const endless = { policies: { orders: 'skip', bills: 'skip' }, expiresAfterMs: null } as const

/** Schedules that broke it once. */
const found: readonly (readonly [string, Run])[] = [
  [
    'two channels of one partition fail for ever, and one of them has more behind its failing key than a read brings',
    {
      ...{ relays: 1, partitions: 2, ordersBatch: false, isRetryFar: true, slow: 'read', luck: 0 },
      forms: { orders: 'fence', bills: 'confirm', views: 'fence' },
      ...endless,
      allows: { poison: true, takeOver: false, failOver: false, outage: false },
      steps: [
        insert(0, 80),
        insert(3616, 0),
        insert(626, 0),
        insert(8561, 0),
        insert(48, 5586),
        insert(1056, 2512),
        { do: 'tick', a: 0, b: 0 },
      ],
    },
  ],
  [
    'a channel fails in one partition while another channel keeps the partition of its good row busy',
    {
      ...{ relays: 1, partitions: 3, ordersBatch: false, isRetryFar: true, slow: 'read', luck: 0 },
      forms: { orders: 'fence', bills: 'fence', views: 'fence' },
      ...endless,
      allows: { poison: true, takeOver: false, failOver: false, outage: false },
      steps: [insert(5664, 6849), insert(0, 976), insert(3104, 0), insert(0, 1006), insert(48, 6690)],
    },
  ],
]

it.each(found)('holds where %s', (_what, run) => {
  check(run, new Coverage())
})
