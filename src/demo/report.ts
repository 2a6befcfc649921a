import { judge, type Findings } from './judge.ts'
import type { LeftOut } from './settings.ts'

/** The outcome; its first fields are what `--json` prints. */
export interface DemoReport {
  /** Committed. */
  readonly orders: number
  readonly rolledBack: number
  readonly shipments: number
  readonly lost: number
  readonly duplicated: number
  readonly ghosts: number
  readonly outOfOrder: number
  /** Child processes that ended by SIGKILL. */
  readonly kills: number
  readonly duplicatesSuppressed: number
  /** Committed ones, over the time in which they were placed. */
  readonly ordersPerSecond: number
  readonly verdict: 'valid' | 'invalid'
  /** Why it is invalid. */
  readonly reasons: readonly string[]
  readonly killed: Readonly<Record<string, number>>
  readonly transport: 'local' | 'kafka'
  readonly without: LeftOut | null
  readonly seconds: number
  readonly drainSeconds: number
  readonly seed: number
}

/** What was asked of the run. */
export interface Wishes {
  readonly brokers: readonly string[] | null
  readonly seconds: number
  readonly isKilling: boolean
  readonly without: LeftOut | null
  readonly seed: number
}

/** What the run knows besides the tables. */
export interface Course {
  readonly kills: number
  readonly killed: Readonly<Record<string, number>>
  readonly duplicatesSuppressed: number
  readonly hasDrained: boolean
  /** From the shop's opening to its last order. */
  readonly openMs: number
  readonly drainMs: number
}

export function reportOf(wishes: Wishes, findings: Findings, course: Course): DemoReport {
  const { brokers, seconds, isKilling, without, seed } = wishes
  const { attempts, orders, shipments, lost, duplicated, ghosts, outOfOrder } = findings
  const { kills, killed, duplicatesSuppressed, hasDrained, openMs, drainMs } = course
  const { verdict, reasons } = judge(findings, { kills, isKilling, isDrained: hasDrained })
  return {
    orders,
    rolledBack: attempts - orders,
    shipments,
    lost,
    duplicated,
    ghosts,
    outOfOrder,
    kills,
    duplicatesSuppressed,
    ordersPerSecond: toTenths((orders * 1000) / openMs),
    verdict,
    reasons,
    killed,
    transport: brokers === null ? 'local' : 'kafka',
    without,
    seconds,
    drainSeconds: toTenths(drainMs / 1000),
    seed,
  }
}

function toTenths(value: number): number {
  return Math.round(value * 10) / 10
}
