/** One thing `npm test` does: a script of package.json, and the seconds it may take on two cores. */
export interface Step {
  readonly name: string
  readonly script: string
  readonly budget: number
}

/** In this order; all of them run, whatever fails. Their budgets, with that of the tests, sum up to 12 minutes. */
export const checks: readonly Step[] = [
  { name: 'format', script: 'check:format', budget: 10 },
  { name: 'lint', script: 'check:lint', budget: 20 },
  { name: 'types', script: 'check:types', budget: 20 },
  { name: 'layers', script: 'check:layers', budget: 10 },
  { name: 'unused code', script: 'check:unused', budget: 20 },
  { name: 'generated docs', script: 'check:docs', budget: 10 },
  { name: 'build', script: 'build', budget: 15 },
  { name: 'public types', script: 'check:declarations', budget: 10 },
  { name: 'package', script: 'check:package', budget: 15 },
  { name: 'package types', script: 'check:package-types', budget: 20 },
]

export const tests: Step = { name: 'tests', script: 'test:run', budget: 570 }

/** Where the script of `tests` leaves its report. */
export const resultFile = '.cache/vitest.json'

/**
 * Seconds each test file may take, by the longest path that it starts with. Three files run at a time, so each takes longer than alone:
 * what they may take together is about three times what the step may.
 */
const suiteBudgets: Readonly<Record<string, number>> = {
  'src/': 20,
  'scripts/': 20,
  'test/': 90,
  // Child processes one after another: killed, stopped, or a new one for each life of a handler.
  'test/app/transform': 180,
  'test/cli/check-idempotency': 180,
  'test/demo/': 150,
  // A row for each crash point and transport, and real servers that are killed and stopped.
  'test/crash/': 300,
  'test/faults/': 300,
}

export function suiteBudget(path: string): number {
  const match = Object.keys(suiteBudgets)
    .filter((prefix) => path.startsWith(prefix))
    .sort((a, b) => b.length - a.length)[0]
  return match === undefined ? 20 : suiteBudgets[match]!
}
