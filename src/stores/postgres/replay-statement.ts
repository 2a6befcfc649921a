/** Of `sent t`; bounds on `sent_at` leave whole days out. */
const matches = `($1::text is null or t.channel = $1) and ($2::text is null or t.key = $2)
    and t.sent_at >= coalesce($3::timestamptz, '-infinity') and t.sent_at < coalesce($4::timestamptz, 'infinity')`

export function sentCountText(s: string): string {
  return `
select (select count(*) from (select from ${s}.sent t where ${matches} limit $5::int) c)::int as count, clock_timestamp() as now`
}

/**
 * One batch of kept messages into the outbox, in the order of their old numbers, by the index on them. As in outbox-writer.ts: transaction id,
 * then the locks of the keys in the order of their hashes, then the numbers, so that what is published meanwhile on a key stands before
 * all of its part of the batch or behind it. Rows are locked before that: of two replays the second waits and finds them gone.
 *
 * Under its old id a message that every local subscriber has in its inbox would be read by nobody, and stay: it is not moved.
 * It is written at the moment of the replay, or it would be older than everything and expire at once. What subscribers have handled of it
 * counts as handled at that moment too, or it would be past its retention while the message waits for the others, and they would run it
 * again (G2).
 */
export function replayText(s: string, asNew: boolean): string {
  const isNeeded = asNew
    ? 'true'
    : `(not exists (select from ${s}.subscriptions u where u.channel = p.channel)
    or exists (select from ${s}.subscriptions u where u.channel = p.channel
      and not exists (select from ${s}.inbox n where n.consumer = u.consumer and n.message_id = p.id)))`
  const moved = asNew
    ? `
moved as materialized (
  select w.*, ${s}.new_id() as new_id, w.headers || jsonb_build_object('waybill-replay-of', w.id::text) as new_headers
  from wanted w)`
    : `
gone as (
  delete from ${s}.sent t using wanted w
  where t.sent_at = w.sent_at and t.partition = w.partition and t.seq = w.seq and t.id = w.id
  returning t.sent_at, t.partition, t.seq, t.id),
moved as materialized (
  select w.*, w.id as new_id, w.headers as new_headers from wanted w join gone using (sent_at, partition, seq, id)),
renewed as (
  update ${s}.inbox set processed_at = clock_timestamp() where ctid = any(array(
    select (select n.ctid from ${s}.inbox n where n.consumer = u.consumer and n.message_id = m.id limit 1)
    from moved m join ${s}.subscriptions u on u.channel = m.channel)))`
  return `
with x as materialized (select pg_current_xact_id() as xid),
picked as materialized (
  select t.* from ${s}.sent t
  where ${matches} and (t.partition, t.seq, t.id) > ($6::int, $7::bigint, $8::uuid)
  order by t.partition, t.seq, t.id limit $5::int${asNew ? '' : ' for update of t'}),
judged as materialized (
  select p.*, c.ordered, c.key_seed, layout.first_partition, layout.partitions, c.channel is not null and c.retained as is_routable,
    ${isNeeded} as is_needed
  from picked p left join ${s}.channels c on c.channel = p.channel
  left join lateral (
    select c.first_partition, c.partitions where not c.is_changing
    union all select l.* from ${s}.locked_layout(c.transport) l where c.is_changing) layout on true),
wanted as materialized (select * from judged where is_routable and is_needed),${moved},
hashed as materialized (
  select m.*, case when m.ordered then hashtextextended(m.key, m.key_seed) else uuid_hash_extended(m.new_id, 0) end as hash from moved m),
locks as materialized (
  select count(*) as count from (
    select pg_advisory_xact_lock(d.hash)
    from (select distinct h.hash from x, hashed h where h.ordered order by h.hash) d) taken),
written as (
  insert into ${s}.outbox (partition, id, channel, key, payload, content_type, headers)
  select h.first_partition + abs(h.hash % h.partitions)::int, h.new_id, h.channel, h.key, h.payload, h.content_type, h.new_headers
  from locks l, hashed h where l.count >= 0 order by h.partition, h.seq, h.id
  returning 1),
last as (select partition, seq, id from picked order by partition desc, seq desc, id desc limit 1)
select (select count(*) from picked)::int as seen, (select count(*) from written)::int as replayed,
  (select count(*) from judged where is_routable and not is_needed)::int as known,
  (select count(*) from judged where not is_routable)::int as unroutable,
  (select partition from last) as partition, (select seq from last)::text as seq, (select id from last) as id`
}
