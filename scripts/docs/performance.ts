import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { type Figure, isBelowBar } from '../../bench/measure.ts'
import type { PerformanceMeasured } from '../../bench/written.ts'
import { root } from '../root.ts'
import { markedPage } from './marked.ts'

/** docs/performance.md with the figures of the last run that was written. */
export function performancePage(): string {
  const path = join(root, 'docs', 'performance-measured.json')
  const measured = existsSync(path)
    ? (JSON.parse(readFileSync(path, 'utf8')) as PerformanceMeasured)
    : undefined
  return markedPage('docs/performance.md', 'The figures', performanceSection(measured))
}

export function performanceSection(measured: PerformanceMeasured | undefined): string {
  if (measured === undefined) return 'Not measured yet.\n'
  const { measuredOn, machine, rounds, figures } = measured
  const judged = figures.filter(({ bar }) => bar !== null)
  const others = figures.filter(({ bar }) => bar === null)
  return `Measured by \`npm run bench -- relay --write --rounds ${rounds}\` on ${measuredOn} (${machine}).

| what | measured | bar | aim | |
|---|---|---|---|---|
${judged.map(judgedRow).join('\n')}

What the ratios were made of, and what has no bar:

| what | median of the rounds | lowest – highest |
|---|---|---|
${others.map(otherRow).join('\n')}
`
}

function judgedRow(figure: Figure): string {
  const { name, value, unit, bar, aim, better, note } = figure
  const sign = better === 'higher' ? '≥' : '≤'
  const verdict = value === null ? `not measured: ${note}` : isBelowBar(figure) ? 'missed' : 'kept'
  return `| ${name} | ${valueOf(value, unit)} | ${sign} ${bar} | ${aim ?? ''} | ${verdict} |`
}

function otherRow({ name, value, unit, runs }: Figure): string {
  const span =
    runs.length === 0 ? '' : `${valueOf(Math.min(...runs), unit)} – ${valueOf(Math.max(...runs), unit)}`
  return `| ${name} | ${valueOf(value, unit)} | ${span} |`
}

function valueOf(value: number | null, unit: string): string {
  if (value === null) return ''
  return unit === 'ratio' ? String(value) : `${value.toLocaleString('en')} ${unit}`
}
