import { readFileSync } from 'node:fs'
import { guarantees, type Guarantee } from '../guarantees/guarantees.ts'

/** What a guarantee cost in the run of `npm run bench -- guarantees` that this version was released with. */
export interface MeasuredCost {
  /** Messages per second. */
  readonly perSecond: number
  readonly p50Ms: number
  readonly p99Ms: number
  /** On the wire, for each message. */
  readonly copies: number
  /** Of the database, for each message. */
  readonly statements: number
}

const names = ['perSecond', 'p50Ms', 'p99Ms', 'copies', 'statements'] as const

/** By guarantee, of those that were measured; none where the table is not there or cannot be read. */
export function readMeasuredCosts(
  file: URL | string = new URL('../../docs/guarantees-measured.json', import.meta.url),
): Partial<Readonly<Record<Guarantee, MeasuredCost>>> {
  let table: unknown
  try {
    table = JSON.parse(readFileSync(file, 'utf8'))
  } catch {
    return {}
  }
  if (typeof table !== 'object' || table === null) return {}
  const lines = table as Readonly<Record<string, unknown>>
  return Object.fromEntries(
    guarantees
      .filter((guarantee) => isCost(lines[guarantee]))
      .map((guarantee) => [guarantee, lines[guarantee]]),
  ) as Partial<Readonly<Record<Guarantee, MeasuredCost>>>
}

function isCost(value: unknown): value is MeasuredCost {
  if (typeof value !== 'object' || value === null) return false
  return names.every((name) => typeof (value as Readonly<Record<string, unknown>>)[name] === 'number')
}
