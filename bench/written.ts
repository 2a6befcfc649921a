import { writeFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import type { Figure } from './measure.ts'

/** What a page of docs/ is made from. */
export interface Measured {
  readonly measuredOn: string
  /** Where, in a few words. */
  readonly machine: string
  readonly rounds: number
}

/** docs/performance-measured.json and docs/takeover-measured.json. */
export interface PerformanceMeasured extends Measured {
  readonly figures: readonly Figure[]
}

export function measuredNow(rounds: number): Measured {
  return {
    measuredOn: new Date().toISOString().slice(0, 10),
    machine: `Node ${process.versions.node}, ${process.platform} ${process.arch}, ${availableParallelism()} cores`,
    rounds,
  }
}

/** Into docs/; `npm run docs` makes the page of it. */
export function write(
  name: 'guarantees-measured' | 'performance-measured' | 'takeover-measured',
  content: Measured,
): void {
  const path = new URL(`../docs/${name}.json`, import.meta.url)
  writeFileSync(path, `${JSON.stringify(content, null, 2)}\n`)
}
