import { randomInt } from 'node:crypto'
import { fileURLToPath } from 'node:url'
import { expect, it } from 'vitest'
import { spawnChild } from '../../src/testing.ts'
import { check } from './check.ts'
import type { Searched } from './children/search.ts'
import { Coverage } from './coverage.ts'
import type { Run } from './steps.ts'

const numRuns = Number(process.env['WAYBILL_MODEL_RUNS'] ?? 15_000)
const seed = Number(process.env['WAYBILL_MODEL_SEED'] ?? randomInt(2 ** 31))

// Nothing here waits for anything; a machine that is busy with other tests only takes longer.
const patienceMs = Math.max(300_000, 30 * numRuns)

it(
  'hands on every committed row, in order of its key and once without a fault, whatever the schedule',
  async () => {
    await using search = spawnChild({
      script: fileURLToPath(new URL('children/search.ts', import.meta.url)),
      // Counting each block of the mind makes every schedule half as long again, or more.
      env: {
        WAYBILL_MODEL_RUNS: String(numRuns),
        WAYBILL_MODEL_SEED: String(seed),
        NODE_V8_COVERAGE: undefined,
      },
      ipc: true,
    })
    process.stderr.write(`relay model: ${numRuns} schedules, WAYBILL_MODEL_SEED=${seed}\n`)
    const { failure, never } = await search
      .waitForMessage<Searched>(() => true, patienceMs)
      .catch((cause: unknown) => {
        // One that hangs can only be found by who knows the seed.
        throw new Error(`no end of WAYBILL_MODEL_SEED=${seed}: ${String(cause)}`, { cause })
      })
    if (failure !== null) throw new Error(failure)
    expect(never, 'what never occurred was not tested').toEqual([])
  },
  // The patience is with the child: its end has to be told.
  patienceMs + 10_000,
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
  [
    'a message that was under way when the server changed comes back before the new one has told its time',
    {
      ...{ relays: 1, partitions: 2, ordersBatch: false, isRetryFar: false, slow: 'remove', luck: 0 },
      forms: { orders: 'confirm', bills: 'confirm', views: 'fence' },
      ...{ policies: { orders: 'block', bills: 'block' }, expiresAfterMs: 500 },
      allows: { poison: false, takeOver: false, failOver: true, outage: false },
      steps: [
        { do: 'claim', a: 0, b: 0 },
        insert(0, 7020),
        { do: 'commit', a: 0, b: 0 },
        { do: 'run', a: 0, b: 213 },
        { do: 'claim', a: 0, b: 0 },
        { do: 'run', a: 0, b: 5492 },
        insert(0, 0),
        { do: 'commit', a: 0, b: 0 },
        { do: 'run', a: 0, b: 4405 },
        { do: 'failOver', a: 0, b: 4 },
        { do: 'progress', a: 412, b: 0 },
        { do: 'progress', a: 948, b: 0 },
        { do: 'progress', a: 3250, b: 0 },
        { do: 'progress', a: 0, b: 0 },
        { do: 'tick', a: 1368, b: 0 },
        { do: 'progress', a: 3622, b: 4989 },
        { do: 'unblock', a: 0, b: 0 },
      ],
    },
  ],
  [
    'a one send fails after the server changed, and its relay dies between the note of that and the delete of the row',
    {
      ...{ relays: 1, partitions: 2, ordersBatch: false, isRetryFar: false, slow: 'none', luck: 0 },
      forms: { orders: 'take', bills: 'confirm', views: 'confirm' },
      ...{ policies: { orders: 'block', bills: 'block' }, expiresAfterMs: null },
      allows: { poison: true, takeOver: true, failOver: true, outage: false },
      steps: [
        insert(0, 0),
        { do: 'claim', a: 0, b: 0 },
        { do: 'commit', a: 0, b: 0 },
        { do: 'replicate', a: 0, b: 0 },
        { do: 'progress', a: 0, b: 0 },
        { do: 'progress', a: 0, b: 0 },
        { do: 'progress', a: 0, b: 0 },
        { do: 'progress', a: 0, b: 0 },
        { do: 'progress', a: 7510, b: 0 },
        { do: 'failOver', a: 0, b: 5734 },
        { do: 'progress', a: 0, b: 0 },
        { do: 'progress', a: 0, b: 0 },
        { do: 'run', a: 0, b: 2433 },
        { do: 'kill', a: 0, b: 2205 },
        { do: 'progress', a: 0, b: 0 },
      ],
    },
  ],
  [
    "two relays hold a partition under one epoch of two servers, and the older one writes behind the other's look at the broker",
    {
      ...{ relays: 2, partitions: 3, ordersBatch: false, isRetryFar: false, slow: 'read', luck: 0 },
      forms: { orders: 'confirm', bills: 'confirm', views: 'fence' },
      ...{ policies: { orders: 'block', bills: 'block' }, expiresAfterMs: null },
      allows: { poison: false, takeOver: false, failOver: true, outage: false },
      steps: [
        insert(0, 3124),
        { do: 'commit', a: 0, b: 0 },
        { do: 'replicate', a: 0, b: 0 },
        { do: 'claim', a: 0, b: 0 },
        { do: 'run', a: 0, b: 0 },
        { do: 'progress', a: 0, b: 0 },
        { do: 'failOver', a: 0, b: 0 },
        { do: 'progress', a: 0, b: 0 },
        { do: 'renew', a: 1, b: 0 },
        { do: 'progress', a: 1, b: 0 },
        { do: 'promote', a: 0, b: 0 },
        { do: 'claim', a: 1, b: 0 },
        { do: 'tick', a: 7916, b: 0 },
        { do: 'run', a: 1, b: 1 },
        { do: 'progress', a: 2, b: 0 },
        { do: 'progress', a: 2, b: 0 },
        { do: 'run', a: 0, b: 2 },
        { do: 'progress', a: 0, b: 0 },
        { do: 'progress', a: 0, b: 0 },
        { do: 'progress', a: 0, b: 0 },
        { do: 'progress', a: 0, b: 0 },
        { do: 'run', a: 0, b: 0 },
      ],
    },
  ],
  [
    'an idle relay looks for news while the clock of the database stands before its marks',
    {
      ...{ relays: 1, partitions: 3, ordersBatch: true, isRetryFar: false, slow: 'read', luck: 1997213905 },
      forms: { orders: 'confirm', bills: 'fence', views: 'fence' },
      ...{ policies: { orders: 'park', bills: 'park' }, expiresAfterMs: null },
      allows: { poison: false, takeOver: false, failOver: false, outage: false },
      steps: [
        { do: 'claim', a: 0, b: 0 },
        { do: 'progress', a: 0, b: 0 },
        { do: 'progress', a: 0, b: 0 },
        { do: 'claim', a: 0, b: 1 },
        { do: 'run', a: 0, b: 1 },
        insert(0, 653),
        { do: 'run', a: 0, b: 0 },
        { do: 'setClock', a: 727, b: 0 },
        { do: 'progress', a: 0, b: 0 },
        { do: 'run', a: 0, b: 3 },
        { do: 'progress', a: 0, b: 0 },
        { do: 'progress', a: 0, b: 0 },
        { do: 'progress', a: 0, b: 0 },
        insert(0, 0),
        { do: 'wake', a: 0, b: 0 },
        { do: 'setClock', a: 0, b: 0 },
      ],
    },
  ],
]

it.each(found)('holds where %s', (_what, run) => {
  check(run, new Coverage())
})
