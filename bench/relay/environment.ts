import type pg from 'pg'
import type { Readings } from '../measure.ts'

/** What the thread of a contender is given. */
export interface ContenderSettings {
  /** Of a database of its own. */
  readonly url: string
  /** Empty where no broker was needed. */
  readonly brokers: readonly string[]
  readonly name: string
  readonly scale: number
}

/** What a contender works with. */
export interface Environment extends ContenderSettings {
  /** Pipelines. */
  readonly pool: pg.Pool
  /** So many of something, smaller while a bench is being developed. */
  readonly sized: (count: number) => number
}

/** One measurement; a text says why it cannot be made on this machine. */
export type Run = (environment: Environment) => Promise<Readings | string>

export type Runs = Readonly<Record<string, Run>>
