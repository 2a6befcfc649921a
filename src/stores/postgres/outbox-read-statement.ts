import type { Lane } from '../../ports/lane.ts'

/** How a row of the answer came to be there; `meta` is the one row that carries what is said once. */
export const origins = { meta: 0, late: 1, upper: 2, retry: 3, delayed: 4, passed: 5 } as const

/**
 * One read of a lane: everything in it is of one snapshot (PROTOCOLS 4), and it takes no locks. Parameters: partitions, floors,
 * open transactions and xmax of the last snapshot, limits of upper (and delayed), late and retry, channels, consumer, each
 * partition's mark: microseconds since the epoch, and number; how many bytes a payload always may have, and those of a partition; how
 * many rows above a floor are looked at where some are held; and partitions with channels whose due retries are left out there.
 *
 * - upper walks the primary key from each floor, so that dead rows behind it cost nothing (P10). While lines are there it looks at so many
 *   rows and no more: the last of them is marked, and comes as `passed` where it is nothing to be sent. Their order is asked for at each level,
 *   though it is there: the planner forgets it otherwise, sorts, and so looks at all of them before it brings the first;
 * - late goes by the index on `xid`. Its halves are disjoint: what was open in a snapshot is below that snapshot's xmax. It is
 *   ranked without payloads, which a transaction of a million rows would carry through a sort. What lies above the floors, as
 *   nearly all of it does, is put aside before lines and inbox are looked into;
 * - delayed goes by the partial index on `not_before`, from the mark of its partition to now(). A row whose time comes between
 *   two reads is in neither's other parts where the floor has passed it. The mark is the now() of the last read, and where the
 *   limit cut that, the place of its last row. So a database clock that is put back only brings rows again that are known;
 * - what nearly every row has (the first of the channels, JSON, no headers, no attempts) travels as null: a text less to make for each;
 * - the answer is binary (see `RowTap`): payloads as they are, numbers and times without a text to be made and read; ids as text, which
 *   is what becomes of them anyway;
 * - where the payloads before a row have more bytes than its partition may bring, it comes without its own: the answer would not end in
 *   time, nor fit into memory. One that has no more than its share of them always comes, so only larger ones are reckoned with;
 * - retry goes by the index on `retry_at`, and on a key with several lines takes the lowest;
 * - while no line is there, which is nearly always, none is looked for. A parked one counts wherever it is: its key may live in
 *   another partition since, where their number was changed;
 * - rows of a parked key are returned, marked, to be moved beside its head; a key that a line holds otherwise is left out.
 *
 * The plan is made once per connection, perhaps while the tables are empty, and must be right when they hold millions of rows.
 * So nothing is left to estimates: every look into a table stands in a lateral or scalar subquery with LIMIT or OFFSET, which is
 * never turned round into a join, and its conditions fit the index that is meant and no other: IS NOT DISTINCT FROM fits none.
 */
export function readStatement(s: string, lane: Lane): string {
  const isNew = isUnhandled(s, lane, '$9')
  const isEligible = `o.channel = any($8::text[]) and (o.not_before is null or o.not_before <= now())${isNew}`
  const isFree = `
    and ((select none from holds)
      or coalesce(
        (select bool_or(b.state = 'parked') from ${s}.blocked b where b.consumer = $9 and b.channel = o.channel
          and b.key = o.key),
        (select true from ${s}.blocked b where b.consumer = $9 and b.partition = o.partition and b.seq = o.seq
          and b.id = o.id limit 1) is null))`
  const isParked = `case when not (select none from holds) then (
    select true from ${s}.blocked b where b.consumer = $9 and b.channel = o.channel and b.key = o.key
      and b.state = 'parked' limit 1) end`
  const columns = rowColumns('$8', 'o.bytes_before <= $13::bigint')
  const upperFits = (
    isFound: string,
  ): string => `octet_length(o.payload) <= $12::bigint or coalesce((select sum(octet_length(b.payload)) from (
    select o.payload from ${s}.outbox o
    where o.partition = p.partition and o.seq > p.floor and o.seq < own_seq and ${isFound} offset 0) b), 0) <= $13::bigint`
  const short = 'o.partition, o.seq, o.id, o.channel, o.key, o.not_before, octet_length(o.payload) as bytes'
  const bytesBefore = (order: string): string =>
    `sum(octet_length(o.payload)) over (order by ${order} rows unbounded preceding) - octet_length(o.payload) as bytes_before`
  return `
with p as materialized (
  select u.partition, u.floor, timestamptz 'epoch' + u.mark * interval '1 microsecond' as mark, u.mark_seq
  from unnest($1::int[], $2::bigint[], $10::bigint[], $11::bigint[]) u(partition, floor, mark, mark_seq)
  where not pg_is_in_recovery()),
holds as materialized (
  select not exists (select from p cross join lateral (
    select from ${s}.blocked b where b.consumer = $9 and b.partition = p.partition limit 1) b)
    and (select true from ${s}.blocked b where b.consumer = $9 and b.state = 'parked' limit 1) is null as none),
late as materialized (
  select f.partition, f.seq, f.bytes_before from (
    select o.partition, o.seq, row_number() over lane as place, sum(o.bytes) over lane - o.bytes as bytes_before
    from (
      select o.* from (
        select ${short} from ${s}.outbox o where o.xid = any($3::xid8[])
        union all
        select ${short} from ${s}.outbox o
        where o.xid >= $4::xid8 and o.xid < pg_snapshot_xmax(pg_current_snapshot())) o
      cross join lateral (select from p where p.partition = o.partition and o.seq <= p.floor limit 1) below offset 0) o
    where ${isEligible}${isFree}
    window lane as (partition by o.partition order by o.seq rows unbounded preceding)) f
  where f.place <= $6::int),
due as materialized (
  select d.* from p cross join lateral (
    select b.partition, b.seq, b.id, b.attempts, b.retry_at from ${s}.blocked b
    where b.consumer = $9 and b.partition = p.partition and b.retry_at <= now() and b.channel = any($8::text[])
      and not (p.partition = any($15::int[]) and b.channel = any($16::text[]))
      and (select true from ${s}.blocked h where h.consumer = $9 and h.channel = b.channel
        and h.key = b.key and h.seq < b.seq limit 1) is null
    order by b.retry_at limit $7::int) d
  order by d.retry_at limit $7::int)
select ${origins.meta} as origin, json_build_object(
    'now', date_part('epoch', clock_timestamp()) * 1000,
    'snapshot', pg_current_snapshot()::text,
    'inRecovery', pg_is_in_recovery(),
    'hasLines', (select true from ${s}.blocked b where b.consumer = $9 limit 1),
    'server', concat(inet_server_addr(), ':', inet_server_port(), '/', date_part('epoch', pg_postmaster_start_time())),
    'micros', (extract(epoch from now()) * 1000000)::bigint::text,
    'nextDueInMs', (select ceil(extract(epoch from min(d.not_before) - now()) * 1000)::int
      from p cross join lateral (
        select o.not_before from ${s}.outbox o
        where o.partition = p.partition and o.not_before is not null
          and o.not_before > now() and o.not_before < now() + interval '1 hour'
        order by o.not_before limit 1) d),
    'tops', (select json_object_agg(p.partition, t.seq::text) from p cross join lateral (
      select o.seq from ${s}.outbox o where o.partition = p.partition and o.seq > p.floor
      order by o.seq desc limit 1) t),
    'rewinds', (select json_object_agg(p.partition, r.counter::text) from p cross join lateral (
      select r.counter from ${s}.rewinds r where r.consumer = $9 and r.partition = p.partition limit 1) r),
    'orphans', (select json_agg(json_build_array(d.partition, d.seq::text, d.id)) from due d
      where (select true from ${s}.outbox o
        where o.partition = d.partition and o.seq = d.seq and o.id = d.id ${isNew} limit 1) is null))::text as meta, ${noRow}
union all
select ${origins.late}, null, ${columns}, null, ${isParked} from late l cross join lateral (
  select o.ctid as place, l.bytes_before, o.* from ${s}.outbox o where o.partition = l.partition and o.seq = l.seq limit 1) o
union all
select ${origins.upper}, null, ${rowColumns('$8', upperFits(isEligible))}, null, null from p cross join lateral (
  select o.ctid as place, o.seq as own_seq, o.* from ${s}.outbox o
  where o.partition = p.partition and o.seq > p.floor and (select none from holds) and ${isEligible}
  order by o.seq limit $5::int) o
union all
select case when o.is_found then ${origins.upper} else ${origins.passed} end, case when o.nth = $14::int then '' end,
  ${rowColumns('$8', `o.is_found and (${upperFits(isEligible + isFree)})`)}, null, ${isParked}
from p cross join lateral (
  select o.* from (
    select o.*, (${isEligible}${isFree}) as is_found from (
      select o.ctid as place, o.seq as own_seq, row_number() over (order by o.seq rows unbounded preceding) as nth, o.* from ${s}.outbox o
      where o.partition = p.partition and o.seq > p.floor and not (select none from holds)
      order by o.seq limit $14::int) o
    order by o.seq offset 0) o
  where o.is_found or o.nth = $14::int
  order by o.seq limit $5::int) o
union all
select ${origins.delayed}, (extract(epoch from o.not_before) * 1000000)::bigint::text, ${columns}, null, ${isParked}
from p cross join lateral (
  select o.*, ${bytesBefore('o.not_before, o.seq')} from (
    select o.ctid as place, o.* from ${s}.outbox o
    where o.partition = p.partition and o.not_before is not null and o.not_before <= now()
      and (o.not_before, o.seq) > (p.mark, p.mark_seq) and o.seq <= p.floor and ${isEligible}${isFree}
    order by o.not_before, o.seq limit $5::int) o) o
union all
select ${origins.retry}, null, ${rowColumns('$8', 'o.bytes_before <= $13::bigint * cardinality($1::int[])')}, o.attempts, null from (
  select o.*, d.attempts, ${bytesBefore('d.retry_at, o.partition, o.seq')} from due d cross join lateral (
    select o.ctid as place, o.* from ${s}.outbox o
    where o.partition = d.partition and o.seq = d.seq and o.id = d.id and ${isEligible} limit 1) o) o`
}

/**
 * What there is of each row `o`, after its origin and what is said. `channels`: the parameter that has them. `fits`: whether its payload is
 * brought.
 */
export function rowColumns(channels: string, fits: string): string {
  return `o.partition, o.seq, o.id::text, nullif(o.channel, (${channels}::text[])[1]), o.key, case when ${fits} then o.payload end,
  nullif(o.content_type, 'application/json'), nullif(o.headers, '{}')::text, o.created_at, o.not_before, o.place`
}

/** The same of none, with its attempts and whether its key is parked. */
export const noRow = `null::int as partition, null::bigint as seq, null::text as id, null::text as channel, null::text as key,
  null::bytea as payload, null::text as content_type, null::text as headers, null::timestamptz as created_at,
  null::timestamptz as not_before, null::tid as place, null::int as attempts, null::boolean as parked`

/** What this consumer has handled stays for the others, and is nothing to read again. Of row `o`; `consumer`: the parameter that has it. */
export function isUnhandled(s: string, lane: Lane, consumer: string): string {
  if (lane.consumer === '') return ''
  return `
    and (select true from ${s}.inbox n where n.consumer = ${consumer} and n.message_id = o.id limit 1) is null`
}
