import { isAbsolute, relative } from 'node:path'
import { root } from '../root.ts'
import type { StepResult } from './run-step.ts'
import { suiteBudget } from './steps.ts'

/** What this file reads of the report of vitest's JSON reporter. */
export interface VitestReport {
  readonly testResults: readonly {
    readonly name: string
    readonly status: string
    readonly message: string
    readonly startTime: number
    readonly endTime: number
    readonly assertionResults: readonly {
      readonly status: string
      readonly fullName: string
      readonly failureMessages?: readonly string[]
    }[]
  }[]
}

/** A line of .cache/servers.json, which the set-up of the server tests writes. */
export interface TestServer {
  readonly name: string
  readonly available: boolean
  /** How to get it. */
  readonly hint: string
}

interface Suite {
  readonly path: string
  readonly seconds: number
  readonly budget: number
  readonly passed: number
  readonly failed: number
  readonly skipped: number
}

export interface Evidence {
  readonly checks: readonly StepResult[]
  readonly tests: StepResult
  /** `null`: vitest ended without one. */
  readonly report: VitestReport | null
  /** `null`: the set-up of the server tests did not run. */
  readonly servers: readonly TestServer[] | null
  readonly demanded: readonly string[]
  /** Whether what takes longer than its budget fails, is told, or does not matter. */
  readonly budgets: 'fail' | 'warn' | 'off'
}

export interface Outcome {
  readonly passed: number
  readonly skipped: number
  readonly failures: readonly string[]
  readonly warnings: readonly string[]
  readonly hints: readonly string[]
  readonly suites: readonly Suite[]
}

/** Judges a run. Each failed test is a failure, and so is each failed step, missing server and broken budget. */
export function judge(evidence: Evidence): Outcome {
  const { checks, tests, report, servers, demanded } = evidence
  const failures = checks.filter((step) => !step.ok).map((step) => `step "${step.name}" failed`)
  const suites: Suite[] = []
  for (const result of report?.testResults ?? []) {
    const path = (isAbsolute(result.name) ? relative(root, result.name) : result.name).replaceAll('\\', '/')
    const failed = result.assertionResults.filter((test) => test.status === 'failed')
    for (const { fullName, failureMessages = [] } of failed)
      failures.push([`${path}: ${fullName}`, ...failureMessages.map(firstLine)].join(' → '))
    // A file that does not load, or whose hook fails, has no failed test and must not look like a short one.
    if (result.status === 'failed' && failed.length === 0)
      failures.push(`${path}: ${firstLine(result.message)}`)
    const passed = result.assertionResults.filter((test) => test.status === 'passed').length
    suites.push({
      path,
      seconds: Math.max(0, (result.endTime - result.startTime) / 1000),
      budget: suiteBudget(path),
      passed,
      failed: failed.length,
      skipped: result.assertionResults.length - passed - failed.length,
    })
  }
  const passed = sum(suites, (suite) => suite.passed)
  if (report === null) failures.push('the tests ended without a report')
  else if (passed === 0) failures.push('no test has passed')
  if (!tests.ok && report !== null && suites.every((suite) => suite.failed === 0)) {
    failures.push(
      'the tests ended with an error: coverage below its threshold, or an error outside a test (see above)',
    )
  }

  const missing = (servers ?? []).filter((server) => !server.available)
  for (const name of demanded) {
    const server = servers?.find((one) => one.name === name)
    if (server?.available !== true) {
      failures.push(`the test server "${name}" is demanded and missing. ${server?.hint ?? ''}`.trimEnd())
    }
  }
  const late =
    evidence.budgets === 'off' ? [] : [...overdrawn([...checks, tests]), ...overdrawnSuites(suites)]
  return {
    passed,
    skipped: sum(suites, (suite) => suite.skipped),
    failures: evidence.budgets === 'fail' ? [...failures, ...late] : failures,
    warnings: evidence.budgets === 'warn' ? late : [],
    hints: missing.map((server) => `Suites that need ${server.name} were skipped. ${server.hint}`),
    suites,
  }
}

/** The closing line of every run. */
export function closingLine(outcome: Outcome): string {
  return `${outcome.passed} passed, ${outcome.failures.length} failed, ${outcome.skipped} skipped`
}

function overdrawn(steps: readonly StepResult[]): string[] {
  return steps
    .filter((step) => step.seconds > step.budget)
    .map((step) => `step "${step.name}" took ${step.seconds.toFixed(1)} s, its budget is ${step.budget} s`)
}

function overdrawnSuites(suites: readonly Suite[]): string[] {
  return suites
    .filter((suite) => suite.seconds > suite.budget)
    .map((suite) => `${suite.path} took ${suite.seconds.toFixed(1)} s, its budget is ${suite.budget} s`)
}

function firstLine(text: string): string {
  return text.split('\n', 1)[0]!.slice(0, 300) || 'the file failed'
}

function sum<T>(list: readonly T[], of: (item: T) => number): number {
  return list.reduce((total, item) => total + of(item), 0)
}
