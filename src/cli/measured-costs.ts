import { readFileSync } from 'node:fs'
import { guarantees, type Guarantee } from '../guarantees/guarantees.ts'

/** What a guarantee cost in the run of `npm run bench -- guarantees` that this version was released with. */
export interface MeasuredCost {
  /** Messages per second. */
  readonly perSecond: number
  readonly p50Ms: number
  readonly p99Ms: number
  /** Messages on the wire beyond one of each, in a run without faults. */
  readonly copies: number
  /** Of the database, for each message. */
  readonly statements: number
}

const names = ['perSecond', 'p50Ms', 'p99Ms', 'copies', 'statements'] as const

export type MeasuredCosts = Partial<Readonly<Record<Guarantee, MeasuredCost>>>

/**
 * By guarantee, of those that were measured over this transport; none where the table is not there, cannot be read, or does
 * not have the transport.
 */
export function readMeasuredCosts(
  transport: string,
  file: URL | string = new URL('../../docs/guarantees-measured.json', import.meta.url),
): MeasuredCosts {
  const lines = field(field(parse(file), 'transports'), transport)
  return Object.fromEntries(
    guarantees
      .map((guarantee) => [guarantee, field(lines, guarantee)] as const)
      .filter(([, cost]) => isCost(cost)),
  ) as MeasuredCosts
}

function parse(file: URL | string): unknown {
  try {
    return JSON.parse(readFileSync(file, 'utf8'))
  } catch {
    return null
  }
}

function field(value: unknown, name: string): unknown {
  if (typeof value !== 'object' || value === null || !Object.hasOwn(value, name)) return undefined
  return (value as Readonly<Record<string, unknown>>)[name]
}

function isCost(value: unknown): value is MeasuredCost {
  return names.every((name) => typeof field(value, name) === 'number')
}
