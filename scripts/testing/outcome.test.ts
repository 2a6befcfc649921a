import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { root } from '../root.ts'
import { fullReport } from './full-report.ts'
import { closingLine, judge, type Evidence, type VitestReport } from './outcome.ts'

const step = { name: 'lint', ok: true, seconds: 1, budget: 20 }
const server = { name: 'kafka', available: true, hint: '' }

function suite(statuses: readonly string[], extra: Partial<VitestReport['testResults'][number]> = {}) {
  const failed = statuses.includes('failed')
  return {
    name: join(root, 'test/crash.test.ts'),
    status: failed ? 'failed' : 'passed',
    message: '',
    startTime: 0,
    endTime: 1000,
    assertionResults: statuses.map((status, index) => ({ status, fullName: `case ${index}` })),
    ...extra,
  }
}

function evidence(extra: Partial<Evidence> = {}): Evidence {
  return {
    checks: [step],
    tests: { name: 'tests', ok: true, seconds: 10, budget: 570 },
    report: { testResults: [suite(['passed', 'passed'])] },
    servers: [server],
    demanded: [],
    budgets: 'warn',
    ...extra,
  }
}

const failedTests = { name: 'tests', ok: false, seconds: 10, budget: 570 }

describe('the outcome of a run', () => {
  it('closes with the numbers of tests', () => {
    const report = {
      testResults: [suite(['passed', 'skipped', 'todo', 'pending']), suite(['passed', 'failed'])],
    }
    const outcome = judge(evidence({ report, tests: failedTests }))
    expect(closingLine(outcome)).toBe('2 passed, 1 failed, 3 skipped')
    expect(outcome.failures).toEqual(['test/crash.test.ts: case 1'])
  })

  it('says of a failed test the first line of why', () => {
    const assertionResults = [
      { status: 'failed', fullName: 'case 0', failureMessages: ['Error: seed 7\n    at x.ts:1'] },
    ]
    const report = { testResults: [suite(['passed']), suite(['failed'], { assertionResults })] }
    expect(judge(evidence({ report, tests: failedTests })).failures).toEqual([
      'test/crash.test.ts: case 0 → Error: seed 7',
    ])
  })

  it('has no failure where everything passed', () => {
    expect(judge(evidence())).toMatchObject({ failures: [], warnings: [], hints: [] })
  })

  it('counts a failed check as one failure', () => {
    expect(judge(evidence({ checks: [step, { ...step, name: 'types', ok: false }] })).failures).toEqual([
      'step "types" failed',
    ])
  })

  it('counts a test file that does not load', () => {
    const report = {
      testResults: [suite(['passed']), suite([], { status: 'failed', message: 'SyntaxError: x\nat y' })],
    }
    expect(judge(evidence({ report, tests: failedTests })).failures).toContain(
      'test/crash.test.ts: SyntaxError: x',
    )
  })

  it('fails where the coverage is too low though each test passed', () => {
    expect(judge(evidence({ tests: failedTests })).failures).toEqual([
      expect.stringContaining('coverage below'),
    ])
  })

  it('fails where the tests left no report, and where no test has passed', () => {
    expect(judge(evidence({ report: null })).failures).toEqual(['the tests ended without a report'])
    expect(judge(evidence({ report: { testResults: [] } })).failures).toEqual(['no test has passed'])
  })

  it('hints at each missing server, and fails only where it is demanded', () => {
    const servers = [{ name: 'kafka', available: false, hint: 'Install Java.' }]
    const laptop = judge(evidence({ servers }))
    expect(laptop.failures).toEqual([])
    expect(laptop.hints).toEqual(['Suites that need kafka were skipped. Install Java.'])
    expect(judge(evidence({ servers, demanded: ['kafka'] })).failures).toEqual([
      'the test server "kafka" is demanded and missing. Install Java.',
    ])
  })

  it('fails where servers are demanded and nobody looked for them', () => {
    expect(judge(evidence({ servers: null, demanded: ['postgres'] })).failures).toHaveLength(1)
  })

  it('tells of broken budgets on a laptop, fails on them in CI, and leaves them alone in the full run', () => {
    const report = { testResults: [suite(['passed'], { endTime: 91_000 })] }
    const late = { report, checks: [{ ...step, seconds: 21 }] }
    const told = [
      'step "lint" took 21.0 s, its budget is 20 s',
      'test/crash.test.ts took 91.0 s, its budget is 90 s',
    ]
    expect(judge(evidence(late))).toMatchObject({ failures: [], warnings: told })
    expect(judge(evidence({ ...late, budgets: 'fail' }))).toMatchObject({ failures: told, warnings: [] })
    expect(judge(evidence({ ...late, budgets: 'off' }))).toMatchObject({ failures: [], warnings: [] })
  })
})

describe('the report of a full run', () => {
  it('is dated and names steps, files, servers and failures', () => {
    const all = evidence({ checks: [{ ...step, ok: false }] })
    const text = fullReport(all, judge(all), new Date('2026-11-24T12:00:00Z'))
    expect(text).toContain('# Full test run of 2026-11-24\n\n2 passed, 1 failed, 0 skipped.')
    expect(text).toContain('Test servers: kafka.')
    expect(text).toContain('- step "lint" failed')
    expect(text).toContain('| lint | failed | 1.0 |')
    expect(text).toContain('| test/crash.test.ts | 2 | 0 | 0 | 1.0 |')
  })
})
