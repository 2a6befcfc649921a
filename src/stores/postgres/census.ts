import type {
  CensusDead,
  CensusLane,
  CensusLoss,
  CensusPartitions,
  CensusRelay,
  CensusReport,
  CensusTransaction,
  RelayReport,
} from '../../kernel/census.ts'
import { isWaybillError } from '../../kernel/errors.ts'
import type { Census } from '../../ports/census.ts'
import {
  deadText,
  lanesText,
  linesText,
  lossesText,
  partitionsText,
  relaysText,
  takenText,
  transactionsText,
} from './census-statements.ts'
import type { Connection } from './connection.ts'

interface LaneRow {
  readonly channel: string
  readonly transport: string | null
  readonly consumer: string
  readonly pending: number
  readonly delayed: number
  readonly oldest_ms: number | null
  readonly is_at_least: boolean
}

interface LineRow {
  readonly channel: string
  readonly consumer: string
  readonly state: 'retrying' | 'blocked' | 'parked'
  readonly count: number
  readonly is_at_least: boolean
}

interface RelayRow {
  readonly id: string
  readonly transport: string
  readonly consumer: string
  readonly host: string
  readonly pid: number
  readonly application: string
  readonly started_at: Date
  readonly report: RelayReport | null
  readonly is_alive: boolean
  readonly is_pooled: boolean
  readonly partitions: number
}

export interface CensusConnections {
  readonly census: Connection
  readonly health: Connection
}

/**
 * Planned anew at each look: it is rare, and its tables change a lot between two. The connection's time-out is the limit of
 * every part.
 */
export function createCensus({ census, health }: CensusConnections, s: string): Census {
  const ask = <Row>(text: string, values: unknown[] = []): Promise<readonly Row[]> =>
    census.query<Row>({ text, values }, 'look at what is where')

  /** A walk that does not end within its time leaves the rest of the look untouched. */
  async function lanes(mostRows: number): Promise<readonly LaneRow[] | null> {
    try {
      return await ask<LaneRow>(lanesText(s), [mostRows])
    } catch (error) {
      if (isWaybillError(error) && isTimeOut(error.cause)) return null
      throw error
    }
  }

  return {
    async ping() {
      await health.query({ text: 'select' }, 'ask for a sign of life')
    },
    async look({ mostRows, oldTransactionMs }): Promise<CensusReport> {
      const [clock] = await ask<{ at: Date }>('select clock_timestamp() as at')
      const rows = await lanes(mostRows)
      const lines = await ask<LineRow>(linesText(s), [mostRows])
      const dead = await ask<{ channel: string; consumer: string; count: number; is_at_least: boolean }>(
        deadText(s),
        [mostRows],
      )
      const relays = await ask<RelayRow>(relaysText(s))
      const partitions = await ask<{
        transport: string
        consumer: string
        total: number
        is_changing: boolean
        unowned_count: number
        unowned: readonly number[] | null
      }>(partitionsText(s))
      const losses = await ask<CensusLoss>(lossesText(s))
      const [taken] = await ask<{ taken: number; is_at_least: boolean }>(takenText(s), [mostRows])
      const transactions = await ask<{
        kind: CensusTransaction['kind']
        name: string
        pid: number | null
        age_ms: number
        has_written: boolean
      }>(transactionsText, [oldTransactionMs])
      return {
        at: clock!.at,
        lanes: rows === null ? null : rows.map((row) => laneOf(row, lines)),
        dead: dead.map(({ is_at_least: isAtLeast, ...row }): CensusDead => ({ ...row, isAtLeast })),
        relays: relays.map(
          ({ started_at: startedAt, is_alive: isAlive, is_pooled: isPooled, ...row }): CensusRelay => ({
            ...row,
            startedAt,
            isAlive,
            isPooled,
          }),
        ),
        partitions: partitions.map(
          ({ unowned_count: unownedCount, is_changing: isChanging, unowned, ...row }): CensusPartitions => ({
            ...row,
            isChanging,
            unownedCount,
            unowned: unowned ?? [],
          }),
        ),
        taken: taken!.taken,
        isTakenAtLeast: taken!.is_at_least,
        losses,
        transactions: transactions.map(
          ({ age_ms: ageMs, has_written: hasWritten, ...row }): CensusTransaction => ({
            ...row,
            ageMs,
            hasWritten,
          }),
        ),
      }
    },
  }
}

function laneOf(row: LaneRow, lines: readonly LineRow[]): CensusLane {
  const { channel, transport, consumer, pending, delayed, oldest_ms: oldestMs, is_at_least: isAtLeast } = row
  const count = (state: LineRow['state']): number =>
    lines.find((line) => line.channel === channel && line.consumer === consumer && line.state === state)
      ?.count ?? 0
  const failing = {
    retrying: count('retrying'),
    blocked: count('blocked'),
    parked: count('parked'),
    isFailingAtLeast: lines.some((line) => line.is_at_least),
  }
  return { channel, transport, consumer, pending, delayed, isAtLeast, oldestMs, ...failing }
}

/** query_canceled: by the server's own time-out. */
function isTimeOut(cause: unknown): boolean {
  return typeof cause === 'object' && cause !== null && (cause as { code?: unknown }).code === '57014'
}
