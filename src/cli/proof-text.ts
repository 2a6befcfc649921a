import { durationText } from '../guarantees/duration.ts'
import type { CounterExample } from '../prove/counter-example.ts'
import type { ProofReport } from '../prove/report.ts'
import { noTime, type Row } from '../prove/rows.ts'
import type { Page } from './output.ts'
import { tableText } from './table.ts'
import { visible } from './visible.ts'

const columns = [
  { title: 'guarantee' },
  { title: 'fault' },
  { title: 'held' },
  { title: 'times', isNumber: true },
  { title: 'messages', isNumber: true },
  { title: 'reruns', isNumber: true },
  { title: 'repeats', isNumber: true },
  { title: 'losses', isNumber: true },
  { title: 'dead', isNumber: true },
  { title: 'recovered in', isNumber: true },
]

const held = { valid: 'yes', invalid: 'NO', unknown: 'unknown', 'not-run': 'not run' } as const
const words = { invoke: 'begun', ok: 'done', fail: 'undone', info: 'outcome unknown' } as const

/** So many events of a counter-example are shown; the merged history has them all. */
const mostEvents = 12

/** The table of guarantee × fault, what is wrong, and how to see it again. `replay`: the command for that. */
export function proofText(report: ProofReport & { readonly replay: string }, page: Page): string {
  const { colors } = page
  const ran = report.rows.filter(({ verdict }) => verdict !== 'not-run')
  const table = tableText(columns, ran.map(cells), page)
  const notes = [
    ...skipped(report.rows),
    ...report.unseen,
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
    ...(report.history === null ? [] : [`What happened, merged: ${report.history}`]),
    ...(report.said === null ? [] : [`What processes said: ${report.said}`]),
    colors.dim(`Not to be shown yet: ${waitingText(report, false)}.`),
    colors.dim(`Shown here, and not yet for another adapter: ${waitingText(report, true)}.`),
    ...(report.memory.length === 0 ? [] : [colors.dim(`Memory in MB: ${memoryText(report)}.`)]),
    colors.dim(`The same chances again: ${report.replay}`),
  ].join('\n')
}

/** Of each process in the first third of the run, in its last, and its highest. */
function memoryText({ memory }: ProofReport): string {
  return memory
    .map(
      ({ process, first, last, highest }) =>
        `${process} ${first} at first, ${last} at last, ${highest} at most`,
    )
    .join(' · ')
}

/** What did not run, by why. */
function skipped(rows: readonly Row[]): readonly string[] {
  const left = rows.filter(({ verdict }) => verdict === 'not-run')
  const reasons = Map.groupBy(left, ({ anomalies }) => anomalies[0]?.detail ?? noTime)
  return [...reasons].map(([why, of]) => {
    const faults = [...new Set(of.map(({ fault }) => fault))].join(', ')
    return why === noTime
      ? `There was no time for: ${faults}. More --seconds run more.`
      : `Not run: ${faults}; ${why}.`
  })
}

function cells({
  guarantee,
  way,
  channel,
  consumer,
  fault,
  verdict,
  times,
  messages,
  rerun,
  repeated,
  lost,
  dead,
  recoveryMs,
}: Row): readonly string[] {
  const recovery = recoveryMs === null ? '' : durationText(Math.round(recoveryMs / 100) * 100)
  return [
    nameOf({ guarantee, way, channel, consumer }),
    fault,
    held[verdict],
    ...[times, messages, rerun, repeated, lost, dead].map(String),
    recovery,
  ]
}

function nameOf({
  guarantee,
  way,
  channel,
  consumer,
}: Pick<Row, 'guarantee' | 'way' | 'channel' | 'consumer'>): string {
  if (channel !== null) return `${guarantee}: ${channel}, ${consumer}`
  return way === null ? guarantee : `${guarantee} (${way})`
}

function findings({ fault, verdict, anomalies, counterExample, ...row }: Row): readonly string[] {
  const [first] = anomalies
  if (verdict === 'valid' || first === undefined) return []
  const more = anomalies.length > 1 ? `, and ${anomalies.length - 1} more` : ''
  const line = `${nameOf(row)}, ${fault}: ${first.kind} ${first.id}: ${first.detail}${more}`
  return [line, ...(counterExample === null ? [] : eventLines(counterExample))]
}

/** Times from the first of them on, in milliseconds. */
function eventLines({ events, id }: CounterExample): readonly string[] {
  const shown = events.slice(0, mostEvents)
  const lines = shown.map((event) => {
    const at = `+${((event.t - shown[0]!.t) / 1000).toFixed(1)} ms`
    const number = event.seq === null ? '' : `, number ${event.seq}`
    const value = event.value === undefined ? '' : `, ${event.value}`
    const key = event.key === null ? '' : ` of ${visible(event.key)}`
    const other = event.id === null || event.id === id ? '' : ` (${visible(event.id)})`
    const what = `${event.f} ${words[event.type]}${number}${value}${key}${other}`
    return `  ${at.padStart(12)}  ${visible(event.process).padEnd(12)}  ${what}`
  })
  const left = events.length - shown.length
  return left > 0 ? [...lines, `  and ${left} events more`] : lines
}

/** What waits as a whole; or in part: for another adapter. */
function waitingText({ waiting }: ProofReport, inPart: boolean): string {
  return waiting
    .filter(({ isInPart }) => isInPart === inPart)
    .map((one) => `${one.for} (${one.rows.join(', ')})`)
    .join('; ')
}

function meaning({ verdict, rows }: ProofReport): string {
  if (verdict === 'valid') return 'Every guarantee held under every fault that ran.'
  if (verdict === 'invalid')
    return rows.some((row) => row.verdict === 'invalid')
      ? 'A guarantee did not hold.'
      : 'Every guarantee held, and a process said or did what none may.'
  return 'Nothing wrong was seen, in a run that shows too little.'
}
