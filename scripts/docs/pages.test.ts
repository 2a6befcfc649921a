import { describe, expect, it } from 'vitest'
import { guarantees } from '../../src/guarantees/guarantees.ts'
import { refusalRules } from '../../src/guarantees/refusals.ts'
import { errorCodes } from '../../src/kernel/errors.ts'
import { configurationPage } from './configuration.ts'
import { errorsPage } from './errors.ts'
import { guaranteesPage } from './guarantees.ts'
import { metricsPage } from './metrics.ts'
import { metricNames, prometheusName } from '../../src/monitor/metrics-table.ts'

const rowsOf = (page: string): string[] => page.split('\n').filter((line) => line.startsWith('| `'))

/** Cells of a row; a bar inside of one would make more of them. */
const cells = (row: string): number => row.split('|').length - 2

describe('the pages that code writes', () => {
  it('have a row for every error code, every guarantee and every refusal', () => {
    expect(rowsOf(errorsPage()).map((row) => row.split('`')[1])).toEqual([...errorCodes])
    expect(rowsOf(guaranteesPage()).map((row) => row.split('`')[1])).toEqual([
      ...guarantees,
      ...Object.keys(refusalRules),
    ])
  })

  it('have a row for every metric, under a name that Prometheus takes, once', () => {
    const names = rowsOf(metricsPage()).map((row) => row.split('`')[1]!)
    for (const name of metricNames) expect(names).toContain(prometheusName(name))
    for (const name of names) expect(name).toMatch(/^[a-z][a-z0-9_]*$/u)
    expect(new Set(names).size).toBe(names.length)
  })

  it.each([
    ['errors', errorsPage(), 3],
    ['guarantees', guaranteesPage(), 4],
    ['configuration', configurationPage(), 7],
  ])('are tables whose rows have all their cells: %s', (_name, page, count) => {
    expect(rowsOf(page).length).toBeGreaterThan(3)
    for (const row of rowsOf(page)) expect(cells(row), row).toBe(count)
  })
})
