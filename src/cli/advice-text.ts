import { guarantees, guaranteeTerms, type Guarantee } from '../guarantees/guarantees.ts'
import type { Advice } from './advice.ts'
import { number } from './demo-display.ts'
import { point, wrap } from './lines.ts'
import type { MeasuredCosts } from './measured-costs.ts'
import type { Page } from './output.ts'

/** The guarantee, why, what it costs, and what to paste. */
export function adviceText(advice: Advice, costs: MeasuredCosts, page: Page): string {
  const { bold, cyan, dim, yellow } = page.colors
  const { guarantee, why, notes, definition } = advice
  const lines = [
    bold(cyan(guarantee)),
    ...wrap(guaranteeTerms[guarantee].promise, page.width),
    '',
    bold('Why'),
    ...why.flatMap((sentence) => point(sentence, page.width)),
    '',
    bold('What it costs'),
    ...costLines(advice, costs, page),
  ]
  if (notes.length > 0) {
    lines.push(
      '',
      bold('Mind'),
      ...notes.flatMap((note) => point(note, page.width)).map((line) => yellow(line)),
    )
  }
  lines.push('', bold('Paste'), '', definition, '', dim('waybill explain then shows how it is kept.'))
  return lines.join('\n')
}

const costWords: Readonly<Record<Guarantee, string>> = {
  'at-most-once':
    'The least: one send whose answer nobody awaits; through the outbox a durable delete before it.',
  'at-least-once': 'A row that is inserted and deleted for each message, and the confirm of the broker.',
  'effectively-once': 'What at-least-once costs, and the work of making handlers idempotent.',
  'exactly-once':
    'What at-least-once costs, and an inbox row for each message and consumer, or a transaction of the broker for each batch.',
}

function costLines({ guarantee, isDirect }: Advice, costs: MeasuredCosts, page: Page): readonly string[] {
  const { colors, width } = page
  const { bold, dim } = colors
  const words = point(costWords[guarantee], width)
  if (costs[guarantee] === undefined) return words
  // `effectively-once` is the longest name, and `SQL/msg` the longest head.
  const cellWidth = Math.max(8, Math.min(12, Math.floor((width - 20) / 5)))
  const row = (...cells: readonly string[]): string =>
    `  ${cells.map((cell, i) => (i === 0 ? cell.padEnd(18) : cell.padStart(cellWidth))).join('')}`.trimEnd()
  const measured = isDirect
    ? 'Measured through the outbox, from commit to the end of the handler. Yours goes by send(), without a row: it costs less.'
    : 'Measured through the outbox, from commit to the end of the handler.'
  const lines = [...words, ...point(measured, width), '']
  lines.push(dim(row('', 'msg/s', 'p50 ms', 'p99 ms', 'copies', 'SQL/msg')))
  for (const each of guarantees) {
    const cost = costs[each]
    if (cost === undefined) continue
    const { perSecond, p50Ms, p99Ms, copies, statements } = cost
    const figures = [number(Math.round(perSecond)), p50Ms.toFixed(1), p99Ms.toFixed(1), String(copies)]
    const line = row(each, ...figures, statements.toFixed(2))
    lines.push(each === guarantee ? bold(line) : dim(line))
  }
  return lines
}
