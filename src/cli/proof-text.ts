import { durationText } from '../guarantees/duration.ts'
import type { ProofReport } from '../prove/report.ts'
import type { Row } from '../prove/rows.ts'
import type { Page } from './output.ts'
import { tableText } from './table.ts'

const columns = [
  { title: 'guarantee' },
  { title: 'fault' },
  { title: 'held' },
  { title: 'messages', isNumber: true },
  { title: 'reruns', isNumber: true },
  { title: 'repeats', isNumber: true },
  { title: 'losses', isNumber: true },
  { title: 'recovered in', isNumber: true },
]

const words = { valid: 'yes', invalid: 'NO', unknown: 'unknown', 'not-run': 'not run' } as const

/** The table of guarantee × fault, what is wrong, and how to see it again. */
export function proofText(report: ProofReport, page: Page): string {
  const { colors } = page
  const ran = report.rows.filter(({ verdict }) => verdict !== 'not-run')
  const table = tableText(columns, ran.map(cells), page)
  const skipped = [
    ...new Set(report.rows.filter((row) => row.verdict === 'not-run').map(({ fault }) => fault)),
  ]
  const notes = [
    ...(skipped.length === 0
      ? []
      : [`There was no time for: ${skipped.join(', ')}. More --seconds run more.`]),
    ...ran.flatMap(findings),
    ...report.logs.anomalies.map(({ kind, id, detail }) => `${id} ${kind}: ${detail}`),
  ]
  const verdict = {
    valid: colors.green('VALID'),
    invalid: colors.red('INVALID'),
    unknown: colors.yellow('UNKNOWN'),
  }
  return [
    table,
    '',
    ...(notes.length === 0 ? [] : [...notes, '']),
    `${colors.bold(verdict[report.verdict])}  ${meaning(report)}`,
    colors.dim(`seed ${report.seed}: waybill prove --seconds ${report.seconds} --seed ${report.seed}`),
  ].join('\n')
}

function cells({
  guarantee,
  fault,
  verdict,
  messages,
  rerun,
  repeated,
  lost,
  recoveryMs,
}: Row): readonly string[] {
  const recovery = recoveryMs === null ? '' : durationText(Math.round(recoveryMs / 100) * 100)
  return [guarantee, fault, words[verdict], ...[messages, rerun, repeated, lost].map(String), recovery]
}

function findings({ guarantee, fault, verdict, anomalies }: Row): readonly string[] {
  const [first] = anomalies
  if (verdict === 'valid' || first === undefined) return []
  const more = anomalies.length > 1 ? `, and ${anomalies.length - 1} more` : ''
  return [`${guarantee}, ${fault}: ${first.kind} ${first.id}: ${first.detail}${more}`]
}

function meaning({ verdict }: ProofReport): string {
  if (verdict === 'valid') return 'Every guarantee held under every fault that ran.'
  if (verdict === 'invalid') return 'A guarantee did not hold.'
  return 'Nothing wrong was seen, in a run that shows too little.'
}
