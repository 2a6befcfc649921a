import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { root } from './root.ts'
import { fullReport } from './testing/full-report.ts'
import { closingLine, judge, type Evidence, type TestServer, type VitestReport } from './testing/outcome.ts'
import { runStep, type StepResult } from './testing/run-step.ts'
import { checks, resultFile, tests } from './testing/steps.ts'

const isFull = process.argv.includes('--full')
const serversFile = '.cache/servers.json'

// Ctrl-C reaches the whole group: the step under way stops its own servers, and is waited for.
process.on('SIGINT', () => {})

mkdirSync(join(root, '.cache'), { recursive: true })
// What a run before this one left must not speak for this one.
for (const file of [resultFile, serversFile]) rmSync(join(root, file), { force: true })

const env = { WAYBILL_TEST_ALL: '1', ...(isFull ? { WAYBILL_TEST_FULL: '1' } : {}) }
const results: StepResult[] = []
for (const step of checks) results.push(await runStep(step, env))
const testsResult = await runStep(tests, env)

const evidence: Evidence = {
  checks: results,
  tests: testsResult,
  report: readJson<VitestReport>(resultFile),
  servers: readJson<readonly TestServer[]>(serversFile),
  demanded: (process.env['WAYBILL_TEST_DEMAND'] ?? '').split(',').filter((name) => name !== ''),
  budgets: isFull ? 'off' : process.env['WAYBILL_TEST_BUDGETS'] === 'fail' ? 'fail' : 'warn',
}
const outcome = judge(evidence)
if (isFull) writeFileSync(join(root, 'docs', 'test-report.md'), fullReport(evidence, outcome, new Date()))

console.log()
for (const step of [...results, testsResult]) {
  const line = `${step.ok ? 'ok    ' : 'FAILED'} ${step.name.padEnd(16)}${step.seconds.toFixed(1).padStart(7)} s`
  console.log(isFull ? line : `${line} of ${step.budget} s`)
}
for (const warning of outcome.warnings) console.log(`warning: ${warning}`)
for (const failure of outcome.failures) console.log(`failure: ${failure}`)
for (const hint of outcome.hints) console.log(hint)
console.log(closingLine(outcome))
process.exitCode = outcome.failures.length === 0 ? 0 : 1

function readJson<T>(file: string): T | null {
  try {
    return JSON.parse(readFileSync(join(root, file), 'utf8')) as T
  } catch {
    return null
  }
}
