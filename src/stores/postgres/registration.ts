export interface RegisterText {
  readonly conflicts: string
  readonly transports: string
  readonly channels: string
  readonly subscriptions: string
  readonly partitions: string
}

/** Each can be run again with the same outcome. They run one after another, under the schema's lock. */
export function registerText(s: string): RegisterText {
  return {
    conflicts: `
select c.channel, c.transport, c.ordered from ${s}.channels c
join unnest($1::text[], $2::text[], $3::text[], $4::bool[]) n(channel, transport, address, ordered)
  on n.channel = c.channel and (n.transport <> c.transport or n.ordered <> c.ordered)
where exists (select from ${s}.outbox o where o.channel = c.channel) order by 1 limit 1`,
    // Partition numbers of different transports never overlap: a partition has one transport.
    transports: `
insert into ${s}.transports (transport, first_partition, partitions)
select n.transport, coalesce((select max(first_partition + partitions) from ${s}.transports), 0)
  + (row_number() over (order by n.transport) - 1)::int * $1::int, $1::int
from (select distinct u.transport from unnest($2::text[]) u(transport)) n
where not exists (select from ${s}.transports t where t.transport = n.transport)`,
    channels: `
insert into ${s}.channels as c (channel, transport, address, ordered, max_bytes)
select * from unnest($1::text[], $2::text[], $3::text[], $4::bool[], $5::int[])
on conflict (channel) do update set transport = excluded.transport, address = excluded.address,
  ordered = excluded.ordered, max_bytes = excluded.max_bytes
where (c.transport, c.address, c.ordered, c.max_bytes)
  is distinct from (excluded.transport, excluded.address, excluded.ordered, excluded.max_bytes)`,
    subscriptions: `
insert into ${s}.subscriptions (consumer, channel) select * from unnest($1::text[], $2::text[]) on conflict do nothing`,
    // A lane of its own for each transport, and one for each consumer that subscribes to a channel of it.
    partitions: `
with lane as (
  select transport, '' as consumer from ${s}.transports
  union select c.transport, u.consumer from ${s}.subscriptions u join ${s}.channels c on c.channel = u.channel)
insert into ${s}.partitions (consumer, partition, transport)
select l.consumer, p, l.transport from lane l join ${s}.transports t using (transport),
  generate_series(t.first_partition, t.first_partition + t.partitions - 1) p
on conflict do nothing`,
  }
}

/** Ends a consumer's subscriptions and deletes the rows that waited only for it. */
export function unsubscribeText(s: string): string {
  return `
with ended as (delete from ${s}.subscriptions where consumer = $1 returning channel),
lane as (delete from ${s}.partitions where consumer = $1),
lines as (delete from ${s}.blocked where consumer = $1)
delete from ${s}.outbox o using ended e where o.channel = e.channel
  and exists (select from ${s}.subscriptions u where u.channel = o.channel and u.consumer <> $1)
  and not exists (select from ${s}.subscriptions u where u.channel = o.channel and u.consumer <> $1
    and not exists (select from ${s}.inbox n where n.consumer = u.consumer and n.message_id = o.id))`
}
