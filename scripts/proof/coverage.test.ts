import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { catalogOf, type Targets } from '../../src/prove/catalog.ts'
import { waiting } from '../../src/prove/waiting.ts'
import { root } from '../root.ts'
import { coverage } from './coverage.ts'

const shown = coverage.flatMap((row) => row.shown)

/** All faults of a run over Kafka that may do everything. */
function everyFault(): readonly string[] {
  const names = ['consumer-1', 'consumer-2', 'relay-1', 'relay-2', 'writer']
  const links = [
    'writer-postgres',
    ...['relays', 'consumers'].flatMap((one) => [`${one}-postgres`, `${one}-kafka`]),
  ]
  const targets = {
    company: { states: names.map((name) => ({ name })), process: () => ({}) },
    clocks: new Map(['consumer-1', 'relay-1', 'writer'].map((name) => [name, {}])),
    server: {},
    disk: {},
    databaseUrl: 'postgres://localhost/none',
    kafka: { server: {}, sessionTimeoutMs: 1500 },
    links: links.map((name) => ({ name, to: name.split('-')[1], proxy: {} })),
    leaseMs: 2000,
    chance: () => 0,
  }
  const { planned, missing } = catalogOf(targets as unknown as Targets)
  expect(missing).toEqual([])
  return planned.map(({ fault }) => fault.name)
}

it('has each row of the matrix once, and each is shown, waits, or lies outside', () => {
  const ids = (letter: string, count: number): string[] =>
    Array.from({ length: count }, (_, i) => `${letter}${i + 1}`)
  expect(coverage.map(({ id }) => id)).toEqual([...ids('F', 41), ...ids('T', 11), ...ids('K', 5)])
  for (const { id, shown: own, outside } of coverage) {
    const waits = waiting.filter(({ rows }) => rows.includes(id))
    const isWhole = waits.some(({ isInPart }) => !isInPart)
    // One of the three, and no more than one.
    expect([own.length > 0, isWhole, outside !== undefined].filter(Boolean), id).toEqual([true])
    if (waits.length > 0 && !isWhole) expect(own, id).not.toEqual([])
  }
  const known = new Set(coverage.map(({ id }) => id))
  for (const { rows } of waiting) for (const id of rows) expect(known).toContain(id)
})

it('names faults that prove has', () => {
  const faults = new Set(['none', ...everyFault()])
  const named = shown.flatMap((one) => (one.by === 'prove' ? [one.fault] : []))
  expect(named.length).toBeGreaterThan(50)
  expect(named.filter((fault) => !faults.has(fault))).toEqual([])
})

it('leaves out no fault that prove has', () => {
  const named = new Set(shown.flatMap((one) => (one.by === 'prove' ? [one.fault] : [])))
  expect(everyFault().filter((fault) => !named.has(fault))).toEqual([])
})

it('names steps at which the crash tests kill', () => {
  const points = readFileSync(join(root, 'test/crash/points.ts'), 'utf8')
  const named = shown.flatMap((one) => (one.by === 'crash' ? [one.point] : []))
  expect(named.length).toBeGreaterThan(15)
  expect(named.filter((point) => !points.includes(`'${point}'`))).toEqual([])
})

it('names tests that exist', () => {
  const tests = shown.flatMap((one) => (one.by === 'test' ? [one] : []))
  expect(tests.length).toBeGreaterThan(50)
  for (const { file, name } of tests) {
    expect(file).toMatch(/\.test\.ts$|^src\/testing\/conformance\//u)
    expect(readFileSync(join(root, file), 'utf8'), `${file}: ${name}`).toContain(name)
  }
})
