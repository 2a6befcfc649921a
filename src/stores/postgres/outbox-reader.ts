import { headersFrom, type MessageHeaders } from '../../kernel/message.ts'
import type { Lane } from '../../ports/lane.ts'
import type { OutboxRow, ReadRequest, ReadResult, RowOrigin, RowRef } from '../../ports/outbox.ts'
import type { Connection } from './connection.ts'
import type { PgResult } from './driver.ts'

const columns = 'o.partition, o.seq, o.id, o.channel, o.key, o.payload, o.content_type, o.headers, o.created_at'

/**
 * All parts of a read, of one snapshot (PROTOCOLS 4). The upper part walks the primary key from each floor, so that dead rows
 * behind it cost nothing; the lower part goes by the index on `xid`; retries by that on `retry_at`. It takes no locks.
 */
function readText(schema: string, lane: Lane): string {
  const b = `${schema}.blocked b where b.consumer = $9`
  const isFree = `not exists (select from ${b} and b.partition = o.partition and b.seq = o.seq)
      and not exists (select from ${b} and b.partition = o.partition and b.channel = o.channel and b.key = o.key)`
  // What this consumer has handled stays for the others, and is nothing to read again.
  const isNew =
    lane.consumer === ''
      ? ''
      : `and not exists (select from ${schema}.inbox n where n.consumer = $9 and n.message_id = o.id)`
  const isEligible = `o.channel = any($8::text[]) and (o.not_before is null or o.not_before <= now()) ${isNew}`
  return `
with p as materialized (select * from unnest($1::int[], $2::bigint[]) p(partition, floor)),
upper as (
  select ${columns}, 'upper' as origin, 0 as attempts from p cross join lateral (
    select ${columns} from ${schema}.outbox o
    where o.partition = p.partition and o.seq > p.floor and ${isEligible} and ${isFree}
    order by o.seq limit $5::int) o),
late as (
  select * from (
    select ${columns}, 'late' as origin, 0 as attempts,
      row_number() over (partition by o.partition order by o.seq) as place
    from ${schema}.outbox o join p on p.partition = o.partition and o.seq <= p.floor
    where (o.xid = any($3::xid8[])
      or o.xid >= $4::xid8 and o.xid < pg_snapshot_xmax(pg_current_snapshot()))
      and ${isEligible} and ${isFree}) l
  where l.place <= $6::int),
due as (
  select b.* from p cross join lateral (
    select b.* from ${b} and b.partition = p.partition and b.retry_at <= now() order by b.retry_at limit $7::int) b
  order by b.retry_at limit $7::int),
retry as (
  select ${columns}, 'retry' as origin, d.attempts from due d
  join ${schema}.outbox o on o.partition = d.partition and o.seq = d.seq and o.id = d.id where ${isEligible}),
orphan as (
  select d.partition, d.seq, d.id from due d
  where not exists (select from ${schema}.outbox o
    where o.partition = d.partition and o.seq = d.seq and o.id = d.id ${isNew}))
select pg_current_snapshot()::text as snapshot, pg_is_in_recovery() as in_recovery,
  coalesce(inet_server_addr()::text, '') || ':' || coalesce(inet_server_port()::text, '') || '/'
    || extract(epoch from pg_postmaster_start_time())::text as server,
  (select json_object_agg(r.partition, r.counter::text) from ${schema}.rewinds r join p using (partition)
    where r.consumer = $9) as rewinds,
  (select json_agg(json_build_array(partition, seq::text, id)) from orphan) as orphans,
  e.* from (values (1)) one(one) left join (
    select ${columns.replaceAll('o.', '')}, origin, attempts from late
    union all select * from upper union all select * from retry) e on true`
}

/** Text as it came: seq stays text, bytea `\\x…`, timestamps their own format; each is parsed here, once. */
const rawTypes = { getTypeParser: () => (value: string) => value }

export class OutboxReader {
  readonly #connection: Connection
  readonly #lane: Lane
  readonly #text: string

  constructor(connection: Connection, schema: string, lane: Lane) {
    this.#connection = connection
    this.#lane = lane
    this.#text = readText(schema, lane)
  }

  async read(request: ReadRequest): Promise<ReadResult> {
    const { partitions, last } = request
    const query = {
      name: this.#lane.consumer === '' ? 'waybill_read' : 'waybill_read_consumer',
      text: this.#text,
      values: [
        partitions.map((each) => each.partition),
        partitions.map((each) => each.floor.toString()),
        last === null ? [] : last.open.map(String),
        // With no snapshot before it all floors are 0, and nothing lies below them.
        last === null ? '9223372036854775807' : last.xmax.toString(),
        request.upperLimit,
        request.lateLimit,
        request.retryLimit,
        request.channels,
        this.#lane.consumer,
      ],
      types: rawTypes,
    }
    return resultOf(await this.#connection.query(query, 'read the outbox'), request)
  }
}

function resultOf(result: PgResult, request: ReadRequest): ReadResult {
  const [first] = result.rows
  const [, xmax, open] = String(first.snapshot).split(':') as [string, string, string]
  const inRecovery = first.in_recovery === 't'
  const counters = JSON.parse(first.rewinds ?? '{}') as Record<string, string>
  const rewinds = new Map(request.partitions.map(({ partition }) => [partition, BigInt(counters[partition] ?? 0)]))
  const orphans = JSON.parse(first.orphans ?? '[]') as [number, string, string][]
  return {
    snapshot: { xmax: BigInt(xmax), open: open === '' ? [] : open.split(',').map(BigInt) },
    server: String(first.server),
    inRecovery,
    rewinds,
    // Sorted here: SQL promises no order without a sort of its own, which would carry every payload through it.
    rows: first.partition === null || inRecovery ? [] : result.rows.map(rowOf).sort(byPlace),
    orphans: inRecovery ? [] : orphans.map(([partition, seq, id]): RowRef => ({ partition, seq: BigInt(seq), id })),
  }
}

const places: Record<RowOrigin, number> = { late: 0, upper: 1, retry: 2 }

function byPlace(a: OutboxRow, b: OutboxRow): number {
  if (a.origin !== b.origin) return places[a.origin] - places[b.origin]
  if (a.partition !== b.partition) return a.partition - b.partition
  return a.seq < b.seq ? -1 : 1
}

// oxlint-disable-next-line typescript/no-explicit-any -- a row of the statement above, every value text or null
function rowOf(row: any): OutboxRow {
  return {
    partition: Number(row.partition),
    seq: BigInt(row.seq),
    id: row.id,
    channel: row.channel,
    key: row.key,
    payload: Buffer.from(row.payload.slice(2), 'hex'),
    contentType: row.content_type,
    headers: parseHeaders(row.headers),
    createdAt: new Date(row.created_at),
    origin: row.origin as RowOrigin,
    attempts: Number(row.attempts),
  }
}

function parseHeaders(text: string): MessageHeaders {
  if (text === '{}') return noHeaders
  return headersFrom(Object.entries(JSON.parse(text) as Record<string, string>))
}

const noHeaders = headersFrom([])
