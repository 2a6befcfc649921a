import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import pc from 'picocolors'
import { afterAll, describe, expect, it } from 'vitest'
import type { GuaranteeFigures, GuaranteesMeasured } from '../../bench/guarantees-tasks.ts'
import { advise } from './advice.ts'
import { adviceText } from './advice-text.ts'
import { readMeasuredCosts } from './measured-costs.ts'

const folder = mkdtempSync(join(tmpdir(), 'waybill-costs-'))
afterAll(() => {
  rmSync(folder, { recursive: true, force: true })
})

function file(name: string, text: string): string {
  const path = join(folder, name)
  writeFileSync(path, text)
  return path
}

const cost = { perSecond: 12_345.6, p50Ms: 2.34, p99Ms: 9.8, copies: 0, statements: 0.01 }
const advice = advise({
  name: 'orders',
  mayBeLost: false,
  mayRepeat: 'no',
  inTransaction: true,
  ordered: true,
  latency: 'low',
  broker: 'kafka',
})

describe('readMeasuredCosts', () => {
  it('reads what was measured over a transport, and leaves out what is not a measurement', () => {
    const kafka = { 'exactly-once': cost, 'at-least-once': { ...cost, copies: 'one' }, 'once-or-twice': cost }
    const path = file('good.json', JSON.stringify({ machine: 'a laptop', transports: { kafka } }))
    expect(readMeasuredCosts('kafka', path)).toEqual({ 'exactly-once': cost })
    for (const none of ['local', 'toString']) expect(readMeasuredCosts(none, path)).toEqual({})
  })

  it('does without where there is no table, or none that can be read', () => {
    expect(readMeasuredCosts('kafka', join(folder, 'none.json'))).toEqual({})
    for (const [i, text] of [
      '',
      'null',
      '7',
      '{"transports":null}',
      '{"transports":{"kafka":[]}}',
    ].entries()) {
      expect(readMeasuredCosts('kafka', file(`${i}.json`, text))).toEqual({})
    }
  })

  it('reads the table that the benchmark writes', () => {
    const figures: GuaranteeFigures = cost
    const all = {
      'at-most-once': figures,
      'at-least-once': figures,
      'effectively-once': figures,
      'exactly-once': figures,
    }
    const table: GuaranteesMeasured = {
      measuredOn: '2026-11-26',
      machine: 'a laptop',
      payloadBytes: 200,
      rounds: 3,
      transports: { kafka: all, local: all },
    }
    const path = file('bench.json', JSON.stringify(table))
    expect([readMeasuredCosts('kafka', path), readMeasuredCosts('local', path)]).toEqual([all, all])
  })
})

const page = { colors: pc.createColors(false), width: 80 }

describe('adviceText', () => {
  it('says the guarantee, why, the cost in words, what to mind and what to paste', () => {
    const text = adviceText(advice, {}, page)
    expect(text).toMatch(/^exactly-once\nEvery committed message/u)
    expect(text).toMatch(/\nWhy\n {2}· No message may be lost/u)
    expect(text).toMatch(/\nWhat it costs\n {2}· What at-least-once costs.*[^]*\nMind\n {2}· Put your/u)
    expect(text).toContain(`\nPaste\n\n${advice.definition}\n`)
    expect(text.split('\n').filter((line) => line.length > 80)).toEqual([])
  })

  it('puts the measured cost beside that of the others', () => {
    const costs = { 'at-least-once': { ...cost, perSecond: 20_000 }, 'exactly-once': cost }
    const text = adviceText(advice, costs, page)
    expect(text).toMatch(/\n {2}exactly-once +12,346 +2\.3 +9\.8 +0 +0\.01\n/u)
    expect(text).toMatch(/\n {2}at-least-once +20,000 /u)
    expect(text).not.toMatch(/effectively-once +\d/u)
    expect(text.split('\n').filter((line) => line.length > 80)).toEqual([])
  })

  it.each([60, 70])('fits into %d columns', (width) => {
    const text = adviceText(advice, { 'exactly-once': cost }, { ...page, width })
    const prose = text.slice(0, text.indexOf('\nPaste'))
    expect(prose.split('\n').filter((line) => line.length > width)).toEqual([])
  })

  it('says that what was measured went through the outbox where what it advises does not', () => {
    const direct = { ...advice, isDirect: true }
    expect(adviceText(direct, { 'exactly-once': cost }, page)).toMatch(/Yours\s+goes\s+by\s+send/u)
    expect(adviceText(advice, { 'exactly-once': cost }, page)).not.toMatch(/Yours\s+goes/u)
  })
})
