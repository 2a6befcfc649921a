import Table from 'cli-table3'
import { cut } from './lines.ts'
import type { Page } from './output.ts'
import { visible } from './visible.ts'

export interface Column {
  readonly title: string
  readonly isNumber?: boolean
}

/** Between two columns. */
const gap = 2
/** No column is cut to less. */
const narrowest = 8

const sides = ['top', 'bottom', 'left', 'right', 'mid']
const corners = ['top', 'bottom', 'left', 'right'].flatMap((side) =>
  ['mid', 'left', 'right'].map((end) => `${side}-${end}`),
)
const chars = {
  ...Object.fromEntries([...sides, ...corners, 'mid-mid'].map((name) => [name, ''])),
  middle: '  ',
}

/**
 * Rows under titles, no wider than the page: the widest columns are cut first. What stands in them comes from outside, so nothing of
 * it reaches the terminal as a command (S18).
 */
export function tableText(
  columns: readonly Column[],
  rows: readonly (readonly string[])[],
  { colors, width }: Page,
): string {
  const shown = rows.map((row) => row.map(visible))
  const widths = fit(
    columns.map(({ title }, i) => Math.max(title.length, ...shown.map((row) => row[i]!.length))),
    width,
  )
  const table = new Table({
    chars,
    style: { head: [], border: [], 'padding-left': 0, 'padding-right': 0 },
    colAligns: columns.map(({ isNumber }) => (isNumber === true ? 'right' : 'left')),
    head: columns.map(({ title }) => colors.dim(title)),
  })
  for (const row of shown) table.push(row.map((cell, i) => cut(cell, widths[i]!)))
  return table
    .toString()
    .split('\n')
    .map((line) => line.trimEnd())
    .join('\n')
}

function fit(widths: readonly number[], page: number): readonly number[] {
  const fitted = [...widths]
  const total = (): number => fitted.reduce((sum, each) => sum + each, gap * (fitted.length - 1))
  while (total() > page) {
    const widest = Math.max(...fitted)
    if (widest <= narrowest) break
    fitted[fitted.indexOf(widest)] = widest - 1
  }
  return fitted
}
