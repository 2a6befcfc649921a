import { rewindText } from './outbox-remove-statements.ts'
import { kept, returned } from './sent-statements.ts'

export function fencedStatesText(s: string): string {
  return `
select p.partition, p.fenced_number as number, p.fenced_lineage as lineage from ${s}.partitions p
where p.consumer = $1 and p.partition = any($2::int[])`
}

/**
 * One statement: the epoch is read under FOR KEY SHARE as for lines, the rows are locked, the note is written, and only where it was
 * do rows and lines go. In this order, because a note holds up the renewal of the lease, and may not wait for rows while it
 * does (R4). The number is compared where it is written, so of a call and its repetition one writes. A repetition finds its
 * own number and answers as the first one did.
 */
export function removeFencedText(s: string, keeps: boolean): string {
  return `
with d as materialized (
  select * from unnest($1::int[], $2::bigint[], $3::uuid[]) d(partition, seq, id) where d.partition = $5::int order by 2),
held as materialized (
  select p.partition, p.fenced_number from ${s}.partitions p
  where p.consumer = $4 and p.partition = $5::int and p.epoch = $6::bigint for key share),
locked as materialized (
  select o.place from d cross join lateral (
    select o.ctid as place from ${s}.outbox o
    where o.partition = d.partition and o.seq = d.seq and o.id = d.id limit 1 for update) o
  where (select true from held)),
noted as (
  update ${s}.partitions p set fenced_number = $7::bigint, fenced_lineage = $8
  from held h, (select count(*) as rows from locked) k
  where p.consumer = $4 and p.partition = h.partition and p.epoch = $6::bigint and k.rows >= 0
    and (p.fenced_number < $7::bigint or p.fenced_number = $7::bigint and p.fenced_lineage = $8)
  returning p.partition),
gone as (
  delete from ${s}.outbox o
  where o.ctid = any(array(select k.place from locked k, noted)) ${returned(keeps)})${kept(s, keeps)},
line as (
  delete from ${s}.blocked b using d, noted
  where b.consumer = $4 and b.partition = d.partition and b.seq = d.seq and b.id = d.id and b.state <> 'parked'
  returning b.partition),
rewound as (${rewindText(s, 'line')})
select (select count(*) from held)::int as held, (select count(*) from noted)::int as noted,
  (select count(*) from gone)::int as removed,
  (select fenced_number from held) as last`
}
