import { randomBytes, randomUUID } from 'node:crypto'
import { hostname } from 'node:os'
import type { Lane, LeasedPartition } from '../../ports/lane.ts'
import type { LaneSurvey, LeaseSession } from '../../ports/leases.ts'
import type { SqlStatement } from '../../ports/sql.ts'
import type { Connection } from './connection.ts'
import { claimText, joinText, leaveText, releaseText, renewText, surveyText } from './lease-statements.ts'
import { named } from './statement.ts'

export interface LeaseOptions {
  readonly schema: string
  readonly lane: Lane
  readonly leaseMs: number
  readonly application: string
  /** Called with the partitions just gained, before they are handed on. Never rejects. */
  readonly onGained: (gained: readonly LeasedPartition[]) => Promise<void>
  /** Called at each survey while the number of partitions is being changed. Never rejects. */
  readonly onChanging: () => Promise<void>
}

/**
 * Joins a lane: registers a relay under a new id and takes its session lock. The connection is the session's own, and made so that
 * it is never made anew: the lock goes with it, and what a new one did would be done without the lock (R3).
 */
export async function openLeases(connection: Connection, options: LeaseOptions): Promise<LeaseSession> {
  const { schema, lane, leaseMs, application, onGained, onChanging } = options
  const relayId = randomUUID()
  const statements = {
    renew: named('renew', renewText(schema)),
    claim: named('claim', claimText(schema)),
    survey: named('survey', surveyText(schema)),
    release: named('release', releaseText(schema)),
  }
  const query = <Row>(statement: SqlStatement, values: unknown[], what: string): Promise<readonly Row[]> =>
    connection.query<Row>({ ...statement, values }, what)

  const lockKey = await takeSessionLock(connection)
  const place = [lane.transport, lane.consumer, lockKey, hostname(), process.pid, application]
  await query(named('join', joinText(schema)), [relayId, ...place, leaseMs], 'register the relay')

  return {
    relayId,
    async renew(held, isLeaving, report) {
      const values = [
        relayId,
        leaseMs,
        ...pairsOf(held),
        isLeaving,
        report === undefined ? null : JSON.stringify(report),
      ]
      return leasesOf(await query(statements.renew, values, 'renew leases'))
    },
    async claim(most) {
      const values = [relayId, leaseMs, lane.transport, lane.consumer, most]
      const gained = leasesOf(await query(statements.claim, values, 'claim partitions'))
      if (gained.length > 0) await onGained(gained)
      return gained
    },
    async survey() {
      const values = [lane.transport, lane.consumer, relayId]
      const [row] = await query<LaneSurvey & { is_changing: boolean }>(
        statements.survey,
        values,
        'look at the lane',
      )
      const { relays, rank, partitions, closed, is_changing: isChanging } = row!
      // Here, so that a change of partitions goes on though the command that began it is gone.
      if (isChanging) await onChanging()
      return { relays, rank, partitions, closed }
    },
    async release(held) {
      await query(statements.release, [relayId, ...pairsOf(held)], 'release leases')
    },
    async close() {
      try {
        await connection.query({ text: leaveText(schema), values: [relayId] }, 'leave the lane')
      } catch {
        // The lock is free once the connection is, and with it the leases.
      }
      await connection.close()
    },
  }
}

/** `null` where the session is shared by a pooler: the lock would stay with it for whoever comes next, and nobody could let go of it. */
async function takeSessionLock(connection: Connection): Promise<string | null> {
  await connection.query({ text: 'select 1' }, 'join the lane')
  if (connection.isShared) return null
  const lockKey = randomBytes(8).readBigInt64BE().toString()
  await connection.query({ text: `select pg_advisory_lock(${lockKey})` }, 'take the session lock')
  return lockKey
}

function pairsOf(held: readonly LeasedPartition[]): unknown[] {
  return [held.map((each) => each.partition), held.map((each) => each.epoch.toString())]
}

function leasesOf(rows: readonly { partition: number; epoch: string }[]): readonly LeasedPartition[] {
  return rows.map(({ partition, epoch }) => ({ partition, epoch: BigInt(epoch) }))
}
