import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { type Figure, isBelowBar } from '../../bench/measure.ts'
import type { PerformanceMeasured } from '../../bench/written.ts'
import { root } from '../root.ts'
import { markedPage } from './marked.ts'

/** docs/performance.md with the figures of the last runs that were written. */
export function performancePage(): string {
  const sections = [
    performanceSection(writtenTo('performance-measured')),
    takeoverSection(writtenTo('takeover-measured')),
  ]
  return markedPage('docs/performance.md', 'The figures', sections.join('\n'))
}

function writtenTo(name: string): PerformanceMeasured | undefined {
  const path = join(root, 'docs', `${name}.json`)
  return existsSync(path) ? (JSON.parse(readFileSync(path, 'utf8')) as PerformanceMeasured) : undefined
}

export function performanceSection(measured: PerformanceMeasured | undefined): string {
  if (measured === undefined) return 'Not measured yet.\n'
  const { measuredOn, machine, rounds, figures } = measured
  const judged = figures.filter(({ bar }) => bar !== null)
  const others = figures.filter(({ bar }) => bar === null)
  return `Measured by \`npm run bench -- relay --write --rounds ${rounds}\` on ${measuredOn} (${machine}).

${judgedTable(judged)}

What the ratios were made of, and what has no bar:

| what | median of the rounds | lowest – highest |
|---|---|---|
${others.map(otherRow).join('\n')}
`
}

/** How soon another relay goes on with the work of one that was killed. */
export function takeoverSection(measured: PerformanceMeasured | undefined): string {
  if (measured === undefined)
    return 'How soon the work of a killed relay goes on elsewhere is not measured yet.\n'
  const { measuredOn, machine, figures } = measured
  const kills = figures[0]?.runs.length
  return `Measured over ${kills} kills by \`npm run bench -- takeover --write\` on ${measuredOn} (${machine}).

${judgedTable(figures)}
`
}

function judgedTable(figures: readonly Figure[]): string {
  return `| what | measured | bar | aim | |
|---|---|---|---|---|
${figures.map(judgedRow).join('\n')}`
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
