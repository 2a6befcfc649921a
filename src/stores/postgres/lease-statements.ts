/** Seen by its peers only with its session lock already taken. */
export function joinText(s: string): string {
  return `
insert into ${s}.relays (id, transport, consumer, lock_key, host, pid, application, lease_until)
values ($1, $2, $3, $4, $5, $6, $7, clock_timestamp() + $8::float8 * interval '1 millisecond')`
}

/** The owner is checked, so a lane's consumer need not be. Rows are locked in the order of the key, as in every statement here. */
export function renewText(s: string): string {
  return `
with alive as (
  update ${s}.relays set lease_until = clock_timestamp() + $2::float8 * interval '1 millisecond', is_leaving = $5::boolean,
    report = coalesce($6::jsonb, report)
  where id = $1),
mine as materialized (
  select p.consumer, p.partition from ${s}.partitions p join unnest($3::int[], $4::bigint[]) h(partition, epoch)
    on p.partition = h.partition and p.epoch = h.epoch and p.owner = $1
  order by p.consumer, p.partition for no key update of p)
update ${s}.partitions p set lease_until = clock_timestamp() + $2::float8 * interval '1 millisecond'
from mine where p.consumer = mine.consumer and p.partition = mine.partition returning p.partition, p.epoch`
}

/**
 * One statement (P5): what is free is picked by SKIP LOCKED, so claimers never wait for each other. An owner whose session lock
 * can be taken is gone, whatever its lease says (one without a lock has none that can be taken); the lock taken here ends with the statement.
 * A lease of its own that has ended is free too: its release may have failed, and nobody else be there. Its registration goes with the last
 * of its partitions: while it is there, only the lock judges it, never a snapshot that may be too old to show a newcomer.
 */
export function claimText(s: string): string {
  return `
with dead as materialized (
  select r.id from ${s}.relays r where r.transport = $3 and r.consumer = $4 and r.id <> $1
    and pg_try_advisory_xact_lock(r.lock_key)),
free as materialized (
  select p.consumer, p.partition from ${s}.partitions p
  where p.transport = $3 and p.consumer = $4 and p.is_open
    and (p.owner is null or p.lease_until < clock_timestamp() or p.owner in (select id from dead))
  order by p.partition limit $5::int for update of p skip locked),
buried as (
  delete from ${s}.relays r using dead where r.id = dead.id and not exists (
    select from ${s}.partitions p where p.transport = $3 and p.consumer = $4 and p.owner = r.id
      and p.partition not in (select partition from free)))
update ${s}.partitions p set owner = $1, epoch = p.epoch + 1,
  lease_until = clock_timestamp() + $2::float8 * interval '1 millisecond'
from free where p.consumer = free.consumer and p.partition = free.partition returning p.partition, p.epoch`
}

/**
 * Of a partition whose last lease is this one: held until the transaction ends against a claim, which asks FOR UPDATE and passes it by.
 * The owner's renewals go on beside it. A claim that is just ending is waited for, and found.
 */
export function holdLeaseText(s: string): string {
  return `
select 1 from ${s}.partitions p where p.consumer = $1 and p.partition = $2::int and p.epoch = $3::bigint for key share`
}

/**
 * Relays whose lease has ended do not count, nor those that leave, nor those whose session lock nobody holds. Looked up, not
 * tried: of two surveys at once each would take the other's try for the dead relay's life.
 */
export function surveyText(s: string): string {
  return `
with held as materialized (
  select k.classid::bigint << 32 | k.objid::bigint as lock_key from pg_locks k
  where k.locktype = 'advisory' and k.objsubid = 1 and k.granted
    and k.database = (select oid from pg_database where datname = current_database())),
living as materialized (
  select r.id, r.started_at from ${s}.relays r where r.transport = $1 and r.consumer = $2 and not r.is_leaving
    and r.lease_until >= clock_timestamp() and (r.lock_key is null or r.lock_key in (select lock_key from held)))
select (select count(*) from ${s}.partitions p where p.transport = $1 and p.consumer = $2 and p.is_open)::int as partitions,
  array(select p.partition from ${s}.partitions p where p.transport = $1 and p.consumer = $2 and p.owner = $3
    and not p.is_open order by 1) as closed,
  exists (select from ${s}.partitions p where p.transport = $1 and p.consumer in ($2, '') and not p.is_open)
    or exists (select from ${s}.layouts l where l.transport = $1 and l.consumer in ($2, '')
      and l.state in ('draining', 'lingering')) as is_changing,
  (select count(*) from living)::int as relays,
  (select count(*) from living l join ${s}.relays own on own.id = $3
    where (l.started_at, l.id) < (own.started_at, own.id))::int as rank`
}

export function releaseText(s: string): string {
  return `
with mine as materialized (
  select p.consumer, p.partition from ${s}.partitions p join unnest($2::int[], $3::bigint[]) h(partition, epoch)
    on p.partition = h.partition and p.epoch = h.epoch and p.owner = $1
  order by p.consumer, p.partition for no key update of p)
update ${s}.partitions p set owner = null, lease_until = null
from mine where p.consumer = mine.consumer and p.partition = mine.partition`
}

export function leaveText(s: string): string {
  return `
with freed as (update ${s}.partitions set owner = null, lease_until = null where owner = $1)
delete from ${s}.relays where id = $1`
}
