import type { HandlerReport, HandlersReport } from '../testing/idempotency-handlers.ts'
import type { RowDifference, TableDifference } from '../testing/idempotency-difference.ts'
import type { IdempotencyVerdict, ModeReport } from '../testing/idempotency.ts'
import type { Colors } from './output.ts'

/** The report of a check for people. */
export function idempotencySummary(report: HandlersReport, colors: Colors): string {
  const ignored = Object.entries(report.ignored).map(([column, why]) => `  ${column} (${why})`)
  return [
    ...report.handlers.flatMap((handler) => handlerLines(handler, colors)),
    ...(ignored.length === 0
      ? []
      : [colors.dim('not compared:'), ...ignored.map((line) => colors.dim(line))]),
    ...report.notes.map((note) => `${colors.yellow('note')} ${note}`),
    `${colors.bold('verdict')} ${paint(report.verdict, colors)}`,
  ].join('\n')
}

function handlerLines(handler: HandlerReport, colors: Colors): readonly string[] {
  const { consumer, channel, verdict, messages } = handler
  return [
    `${colors.bold(consumer)} of ${channel}: ${paint(verdict, colors)}`,
    ...messages.flatMap(({ id, verdict: own, reasons, modes }) => [
      `  message ${id}: ${paint(own, colors)}`,
      ...reasons.map((reason) => `    ${reason}`),
      ...modes.flatMap((mode) =>
        mode.differences.map((difference) => `    ${differenceText(mode, difference)}`),
      ),
      ...modes.flatMap(meetingLines).map((line) => colors.dim(`    ${line}`)),
    ]),
  ]
}

function differenceText(
  { mode }: ModeReport,
  { table, more, less, different, first }: TableDifference,
): string {
  const counts = [
    ...(more > 0 ? [`${more} more`] : []),
    ...(less > 0 ? [`${less} less`] : []),
    ...(different > 0 ? [`${different} different`] : []),
  ]
  return `${mode}: ${table}: ${counts.join(', ')}; first: ${firstText(first)}`
}

function firstText({ kind, key, columns, found, expected }: RowDifference): string {
  const name = Object.keys(key).length === 0 ? '(no primary key)' : JSON.stringify(key)
  const which = columns.length === 0 ? '' : ` in ${columns.join(', ')}`
  const rows = [
    ...(expected === undefined ? [] : [`run once ${JSON.stringify(expected)}`]),
    ...(found === undefined ? [] : [`here ${JSON.stringify(found)}`]),
  ]
  return `${kind} ${name}${which}${rows.length === 0 ? '' : ` (${rows.join(', ')})`}`
}

function meetingLines({ mode, rounds, met }: ModeReport): readonly string[] {
  if (mode !== 'together') return []
  const rest = met === rounds ? '' : '; else one waited for the other'
  return [`at the same time: both before their commits at once in ${met} of ${rounds} rounds${rest}`]
}

function paint(verdict: IdempotencyVerdict, { green, red, yellow }: Colors): string {
  if (verdict === 'idempotent') return green(verdict)
  return verdict === 'unknown' ? yellow(verdict) : red(verdict)
}
