import type { Verdict } from '../testing.ts'
import { busyMachine, type Row } from './rows.ts'

/**
 * One row for each guarantee, or consumer of the user's, and fault, where a fault came several times. It holds where it held at least once and failed never: what
 * showed nothing one time, as a kill that found nobody at work, was shown another time. But what a busy machine excused, as a recovery that
 * came too late, must not be the rule.
 */
export function mergedRows(rows: readonly Row[]): readonly Row[] {
  const groups = Map.groupBy(rows, ({ guarantee, way, channel, consumer, fault }) =>
    JSON.stringify([guarantee, way, channel, consumer, fault]),
  )
  return [...groups.values()].map((group) => (group.length === 1 ? group[0]! : merged(group)))
}

function merged(all: readonly Row[]): Row {
  const verdict = verdictOf(all)
  const counted = all.filter((row) => row.verdict === verdict)
  const sum = (of: (row: Row) => number): number => counted.reduce((total, row) => total + of(row), 0)
  const recoveries = counted.flatMap(({ recoveryMs }) => (recoveryMs === null ? [] : [recoveryMs]))
  return {
    ...counted[0]!,
    times: sum(({ times }) => times),
    messages: sum(({ messages }) => messages),
    rerun: sum(({ rerun }) => rerun),
    repeated: sum(({ repeated }) => repeated),
    lost: sum(({ lost }) => lost),
    dead: sum(({ dead }) => dead),
    recoveryMs: recoveries.length === 0 ? null : Math.max(...recoveries),
    anomalies: counted.flatMap(({ anomalies }) => anomalies),
  }
}

function verdictOf(all: readonly Row[]): Verdict {
  if (all.some(({ verdict }) => verdict === 'invalid')) return 'invalid'
  const held = all.filter(({ verdict }) => verdict === 'valid').length
  const excused = all.filter(({ anomalies }) => anomalies.some(({ id }) => id === busyMachine)).length
  return held > excused ? 'valid' : 'unknown'
}
