import { randomBytes, randomUUID } from 'node:crypto'
import { hostname } from 'node:os'
import { WaybillError } from '../../kernel/errors.ts'
import type { Lane, LeasedPartition } from '../../ports/lane.ts'
import type { LaneSurvey, LeaseSession } from '../../ports/leases.ts'
import type { Connection } from './connection.ts'

interface LeaseOptions {
  readonly schema: string
  readonly lane: Lane
  readonly leaseMs: number
  readonly application: string
}

/** Joins a lane: registers a relay under a new id and takes its session lock. The connection is the session's own. */
export async function openLeases(connection: Connection, options: LeaseOptions): Promise<LeaseSession> {
  const { schema: s, lane, leaseMs, application } = options
  const relayId = randomUUID()
  const lockKey = randomBytes(8).readBigInt64BE().toString()
  let isOpen = true

  /** The lock went with the connection: what a new connection does would be done without it. */
  // oxlint-disable-next-line typescript/no-explicit-any -- rows of the statements below
  const query = async (name: string, text: string, values: unknown[], what: string): Promise<any[]> => {
    if (!isOpen || !connection.isConnected) {
      isOpen = false
      throw new WaybillError('WB_STORE_UNREACHABLE', 'The lease session is lost: its connection is gone.', {
        retryable: 'yes',
      })
    }
    try {
      return (await connection.query({ name: `waybill_${name}`, text, values }, what)).rows
    } catch (error) {
      isOpen = connection.isConnected
      throw error
    }
  }

  await connection.query({ text: `select pg_advisory_lock(${lockKey})` }, 'take the session lock')
  await query(
    'join',
    `insert into ${s}.relays (id, transport, consumer, lock_key, host, pid, application, lease_until)
     values ($1, $2, $3, $4, $5, $6, $7, clock_timestamp() + $8::float8 * interval '1 millisecond')`,
    [relayId, lane.transport, lane.consumer, lockKey, hostname(), process.pid, application, leaseMs],
    'register the relay',
  )
  return {
    relayId,
    renew: async (held) =>
      leasesOf(await query('renew', renewText(s), [relayId, leaseMs, ...pairsOf(held)], 'renew leases')),
    claim: async (most) => {
      const values = [relayId, leaseMs, lane.transport, lane.consumer, most]
      return leasesOf(await query('claim', claimText(s, lane), values, 'claim partitions'))
    },
    survey: async (): Promise<LaneSurvey> => {
      const [row] = await query('survey', surveyText(s), [lane.transport, lane.consumer], 'look at the lane')
      return { relays: Number(row.relays), partitions: Number(row.partitions) }
    },
    release: async (held) => {
      await query('release', releaseText(s), [relayId, ...pairsOf(held)], 'release leases')
    },
    close: async () => {
      try {
        await query(
          'leave',
          `with freed as (update ${s}.partitions set owner = null, lease_until = null where owner = $1)
           delete from ${s}.relays where id = $1`,
          [relayId],
          'leave the lane',
        )
      } catch {
        // The lock is free once the connection is, and with it the leases.
      }
      await connection.close()
    },
  }
}

function pairsOf(held: readonly LeasedPartition[]): unknown[] {
  return [held.map((each) => each.partition), held.map((each) => each.epoch.toString())]
}

function leasesOf(rows: readonly { partition: number; epoch: string }[]): readonly LeasedPartition[] {
  return rows.map(({ partition, epoch }) => ({ partition, epoch: BigInt(epoch) }))
}

/** By primary key (the owner is checked, so a lane's consumer need not be); in the order of the key, as every statement here. */
function renewText(s: string): string {
  return `
with alive as (update ${s}.relays set lease_until = clock_timestamp() + $2::float8 * interval '1 millisecond'
  where id = $1),
mine as materialized (
  select p.consumer, p.partition from ${s}.partitions p join unnest($3::int[], $4::bigint[]) h(partition, epoch)
    on p.partition = h.partition and p.epoch = h.epoch and p.owner = $1
  order by p.consumer, p.partition for update of p)
update ${s}.partitions p set lease_until = clock_timestamp() + $2::float8 * interval '1 millisecond'
from mine where p.consumer = mine.consumer and p.partition = mine.partition returning p.partition, p.epoch`
}

/**
 * One statement (P5): what is free is picked by SKIP LOCKED, so claimers never wait for each other. An owner whose session lock
 * can be taken is gone, whatever its lease says; the lock taken here ends with the statement.
 */
function claimText(s: string, lane: Lane): string {
  const settled =
    lane.consumer === ''
      ? ''
      : `, settled as (delete from ${s}.outbox o using gained g where o.partition = g.partition
  and exists (select from ${s}.inbox n where n.consumer = $4 and n.message_id = o.id)
  and not exists (select from ${s}.subscriptions u where u.channel = o.channel
    and not exists (select from ${s}.inbox n where n.consumer = u.consumer and n.message_id = o.id)))`
  return `
with dead as materialized (
  select r.id from ${s}.relays r where r.transport = $3 and r.consumer = $4 and r.id <> $1
    and pg_try_advisory_xact_lock(r.lock_key)),
buried as (delete from ${s}.relays r using dead where r.id = dead.id and r.lease_until < clock_timestamp()),
free as materialized (
  select p.consumer, p.partition from ${s}.partitions p
  where p.transport = $3 and p.consumer = $4 and p.owner is distinct from $1
    and (p.owner is null or p.lease_until < clock_timestamp() or p.owner in (select id from dead)
      or not exists (select from ${s}.relays r where r.id = p.owner))
  order by p.partition limit $5::int for update of p skip locked),
gained as (
  update ${s}.partitions p set owner = $1, epoch = p.epoch + 1,
    lease_until = clock_timestamp() + $2::float8 * interval '1 millisecond'
  from free where p.consumer = free.consumer and p.partition = free.partition returning p.partition, p.epoch)
${settled}
select partition, epoch from gained`
}

/** Relays whose lease has ended do not count, nor do those whose connection is gone. */
function surveyText(s: string): string {
  return `
select (select count(*) from ${s}.partitions p where p.transport = $1 and p.consumer = $2) as partitions,
  (select count(*) from ${s}.relays r where r.transport = $1 and r.consumer = $2 and r.lease_until >= clock_timestamp()
    and exists (select from pg_locks k where k.locktype = 'advisory' and k.granted
      and k.database = (select oid from pg_database where datname = current_database())
      and (k.classid::bigint << 32 | k.objid::bigint) = r.lock_key and k.objsubid = 1)) as relays`
}

function releaseText(s: string): string {
  return `
update ${s}.partitions p set owner = null, lease_until = null
from unnest($2::int[], $3::bigint[]) h(partition, epoch)
where p.partition = h.partition and p.epoch = h.epoch and p.owner = $1`
}
