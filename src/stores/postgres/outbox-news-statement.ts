import type { Lane } from '../../ports/lane.ts'
import { isUnhandled, noRow, origins, rowColumns } from './outbox-read-statement.ts'

/**
 * What has committed since the last snapshot, for a relay that has all that was there before, with its answer in the columns of a read.
 * A read looks into every part of the lane, and starting so large a plan takes longer than finding a row; this is one walk along
 * the index on `xid`, whatever the partitions and the floors. Parameters: partitions, open transactions and xmax of the last snapshot,
 * channels, consumer, how many rows to bring at most, and how many bytes a payload may have to be brought.
 *
 * What it does not look for it does not pass by either: rows held by lines, for there are none; due rows below the floors,
 * whose marks stay as they are; rows that other transaction ids stand on than this server's, which the floors leave above them.
 * Nothing fits another index here: by that of the partitions it would be a walk over the whole backlog.
 */
export function newsStatement(s: string, lane: Lane): string {
  return `
select ${origins.meta} as origin, json_build_object(
    'micros', (extract(epoch from now()) * 1000000)::bigint::text,
    'now', date_part('epoch', clock_timestamp()) * 1000,
    'snapshot', pg_current_snapshot()::text,
    'inRecovery', pg_is_in_recovery(),
    'hasLines', (select true from ${s}.blocked b where b.consumer = $5 limit 1),
    'server', concat(inet_server_addr(), ':', inet_server_port(), '/', date_part('epoch', pg_postmaster_start_time())),
    'rewinds', (select json_object_agg(r.partition, r.counter::text) from ${s}.rewinds r where r.consumer = $5))::text as meta, ${noRow}
union all
(select ${origins.upper}, null, ${rowColumns('$4', 'octet_length(o.payload) <= $7::bigint')}, null, null from (
  select o.ctid as place, o.* from ${s}.outbox o where o.xid = any($2::xid8[])
  union all
  select o.ctid as place, o.* from ${s}.outbox o where o.xid >= $3::xid8 and o.xid < pg_snapshot_xmax(pg_current_snapshot())
  offset 0) o
where array_position($1::int[], o.partition) is not null and o.channel = any($4::text[])
  and (o.not_before is null or o.not_before <= now())${isUnhandled(s, lane, '$5')}
limit $6::int)`
}
