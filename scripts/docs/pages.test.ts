import { describe, expect, it } from 'vitest'
import { guarantees } from '../../src/guarantees/guarantees.ts'
import { refusalRules } from '../../src/guarantees/refusals.ts'
import { errorCodes } from '../../src/kernel/errors.ts'
import { configurationPage } from './configuration.ts'
import { errorsPage } from './errors.ts'
import { guaranteesPage } from './guarantees.ts'
import { metricsPage } from './metrics.ts'
import { metricNames, prometheusName } from '../../src/monitor/metrics-table.ts'
import { performanceSection, takeoverSection } from './performance.ts'
import { allowedSection, coverageSection } from './proof.ts'

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

describe('the page on performance', () => {
  const figure = {
    name: 'drain',
    value: 0.9,
    unit: 'ratio',
    bar: 0.85,
    aim: 0.95,
    better: 'higher',
    runs: [0.8, 1],
  } as const
  const written = { measuredOn: '2026-01-31', machine: 'two cores', rounds: 5 }

  it('says on which side of its bar a figure is, and what was not measured', () => {
    const page = performanceSection({
      ...written,
      figures: [
        figure,
        { ...figure, name: 'latency', value: 3, bar: 2.5, aim: null, better: 'lower' },
        { ...figure, name: 'C', value: null, runs: [], note: 'pgbench is missing' },
      ],
    })
    expect(page).toContain('| drain | 0.9 | ≥ 0.85 | 0.95 | kept |')
    expect(page).toContain('| latency | 3 | ≤ 2.5 |  | missed |')
    expect(page).toContain('| C |  | ≥ 0.85 | 0.95 | not measured: pgbench is missing |')
    expect(page).toContain('--rounds 5` on 2026-01-31 (two cores)')
  })

  it('keeps what has no bar apart, with its span', () => {
    const rate = {
      ...figure,
      name: 'drain: relay',
      value: 1500,
      unit: '1/s',
      bar: null,
      aim: null,
      runs: [1000, 2000],
    }
    const page = performanceSection({ ...written, figures: [rate] })
    expect(page).toContain('| drain: relay | 1,500 1/s | 1,000 1/s – 2,000 1/s |')
  })

  it('says over how many kills a take-over was measured, or that it was not', () => {
    const page = takeoverSection({
      ...written,
      figures: [
        {
          ...figure,
          name: 'median',
          value: 900,
          unit: 'ms',
          bar: 2000,
          better: 'lower',
          runs: [800, 900, 1000],
        },
      ],
    })
    expect(page).toContain('over 3 kills')
    expect(page).toContain('| median | 900 ms | ≤ 2000 | 0.95 | kept |')
    expect(takeoverSection(undefined)).toContain('not measured yet')
  })
})

describe('the page of the proof', () => {
  it('says what the checkers allow, by the table that they read', () => {
    const rows = rowsOf(allowedSection())
    expect(rows.map((row) => row.split('`')[1])).toEqual([...guarantees])
    expect(rows[0]).toContain('| `lost` |')
    for (const row of rows) expect(cells(row), row).toBe(4)
  })

  it('has a row for each fault, with what it waits for', () => {
    const rows = coverageSection().split('\n').slice(2, -1)
    expect(rows).toHaveLength(57)
    for (const row of rows) expect(cells(row), row).toBe(4)
    expect(rows).toContain('| T1 | coordinator crash before any prepare |  | two-phase commit |')
    expect(rows.find((row) => row.startsWith('| F22 '))).toMatch(
      /prove: `kill kafka`, `restart kafka`<br>.*in part: RabbitMQ \|$/u,
    )
  })
})
