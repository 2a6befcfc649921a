import type { ProofReport } from '../../src/prove/report.ts'
import type { Row } from '../../src/prove/rows.ts'

/** One run of `waybill prove`, as its `--json` told it. */
export interface ProofRun extends Pick<
  ProofReport,
  'seed' | 'seconds' | 'verdict' | 'rows' | 'logs' | 'memory'
> {
  readonly transport: 'local' | 'kafka'
  /** The day it ended, as YYYY-MM-DD. */
  readonly date: string
  /** Node, servers and machine, in words. */
  readonly on: string
  /** What it took, with the start and the end of its servers. */
  readonly tookSeconds: number
}

/** What several runs have seen of one track under one fault. */
export interface Seen {
  /** A run that does not hold counts, however many others do; one that showed nothing counts where no other has shown something. */
  readonly verdict: Row['verdict']
  readonly messages: number
  readonly rerun: number
  readonly repeated: number
  readonly lost: number
  readonly recoveryMs: number | null
}

/** `exactly-once (fenced)`. */
export function trackName({ guarantee, way }: Pick<Row, 'guarantee' | 'way'>): string {
  return way === null ? guarantee : `${guarantee} (${way})`
}

const decisive: readonly Row['verdict'][] = ['invalid', 'valid', 'unknown', 'not-run']

/** All rows of one track and fault, as one. */
export function seenOf(rows: readonly Row[]): Seen {
  const sum = (of: (row: Row) => number): number => rows.reduce((total, row) => total + of(row), 0)
  const recoveries = rows.flatMap(({ recoveryMs }) => (recoveryMs === null ? [] : [recoveryMs]))
  return {
    verdict: decisive.find((verdict) => rows.some((row) => row.verdict === verdict)) ?? 'not-run',
    messages: sum(({ messages }) => messages),
    rerun: sum(({ rerun }) => rerun),
    repeated: sum(({ repeated }) => repeated),
    lost: sum(({ lost }) => lost),
    recoveryMs: recoveries.length === 0 ? null : Math.max(...recoveries),
  }
}

export const transports = ['local', 'kafka'] as const

/** With these in place of the last ones over their transport. */
export function withRuns(before: readonly ProofRun[], played: readonly ProofRun[]): readonly ProofRun[] {
  return transports.flatMap((transport) => {
    const isOver = (run: ProofRun): boolean => run.transport === transport
    return played.some(isOver) ? played.filter(isOver) : before.filter(isOver)
  })
}
