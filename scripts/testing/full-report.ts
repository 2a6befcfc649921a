import { arch, availableParallelism, platform } from 'node:os'
import { closingLine, type Evidence, type Outcome } from './outcome.ts'

/** docs/test-report.md: what the full run did, when, on what. */
export function fullReport(evidence: Evidence, outcome: Outcome, date: Date): string {
  const steps = [...evidence.checks, evidence.tests].map(
    (step) => `| ${step.name} | ${step.ok ? 'ok' : 'failed'} | ${step.seconds.toFixed(1)} |`,
  )
  const suites = [...outcome.suites]
    .sort((a, b) => a.path.localeCompare(b.path))
    .map(
      (suite) =>
        `| ${suite.path} | ${suite.passed} | ${suite.failed} | ${suite.skipped} | ${suite.seconds.toFixed(1)} |`,
    )
  const servers = (evidence.servers ?? []).map((one) => `${one.name}${one.available ? '' : ' (missing)'}`)
  const failures = outcome.failures.map((failure) => `- ${failure.replaceAll('\n', ' ')}`)
  return `<!-- Written by "npm run test:full". -->

# Full test run of ${date.toISOString().slice(0, 10)}

${closingLine(outcome)}.

Node ${process.versions.node}, ${platform()} ${arch()}, ${availableParallelism()} cores. Test servers: ${servers.join(', ') || 'none'}.
${failures.length === 0 ? '' : `\n## Failures\n\n${failures.join('\n')}\n`}
## Steps

| step | outcome | seconds |
|---|---|---|
${steps.join('\n')}

## Test files

| file | passed | failed | skipped | seconds |
|---|---|---|---|---|
${suites.join('\n')}
`
}
