import type { CheckResult } from './verdict.ts'

/** Of one process, in a unit of its own: medians of the first third of a long run and of its last. */
export interface ProcessMemory {
  readonly process: string
  readonly first: number
  readonly last: number
}

/** Memory that does not stay. Half an hour of faults has shown a growth of 1.25 at most: buffers of the runtime come and go. */
export function steadyMemory(memory: readonly ProcessMemory[], mostGrowth = 1.5): CheckResult {
  const anomalies = memory
    .filter(({ first, last }) => last > mostGrowth * first)
    .map(({ process, first, last }) => ({
      kind: 'grew' as const,
      id: process,
      detail: `from ${first} in the first third of the run to ${last} in its last`,
    }))
  return { checker: 'steadyMemory', checked: memory.length, anomalies }
}
