import { WaybillError } from '../../kernel/errors.ts'
import type { Queries } from './connection.ts'
import type {
  ChannelRegistration,
  DifferingPartitions,
  EndedSubscription,
  LocalSubscription,
} from '../../ports/schema.ts'
import { addLossesText } from './loss-statements.ts'
import { kept, returned } from './sent-statements.ts'

export interface Registration {
  readonly channels: readonly ChannelRegistration[]
  readonly subscriptions: readonly LocalSubscription[]
  readonly partitions: number
}

/** Each statement can be run again with the same outcome. The caller holds the schema's lock. */
export async function register(
  connection: Queries,
  s: string,
  registration: Registration,
): Promise<readonly DifferingPartitions[]> {
  const { channels, subscriptions, partitions } = registration
  const run = (text: string, values: unknown[]): Promise<readonly Changed[]> =>
    connection.query<Changed>({ text, values }, 'register channels')
  const names = channels.map((each) => each.channel)
  const transports = channels.map((each) => each.transport)
  const ordered = channels.map((each) => each.ordered)
  const pairs = subscriptions.flatMap(({ consumer, channels: own }) =>
    own.map((channel) => [consumer, channel]),
  )

  const changed = await run(changedText(s), [names, transports, ordered])
  if (changed.length > 0) await refuseWaiting(changed, (text, values) => run(text, values), s)
  await run(transportsText(s), [partitions, transports])
  await run(channelsText(s), [
    names,
    transports,
    channels.map((each) => each.address),
    ordered,
    channels.map((each) => each.maxBytes),
    channels.map((each) => each.retained !== false),
  ])
  await run(subscriptionsText(s), [pairs.map(([consumer]) => consumer), pairs.map(([, channel]) => channel)])
  await run(lanesText(s), [])
  await run(partitionsText(s), [])
  const differing = { text: differingText(s), values: [transports, partitions] }
  return await connection.query<DifferingPartitions>(differing, 'register channels')
}

interface Changed {
  readonly channel: string
  readonly transport: string
  readonly ordered: boolean
}

async function refuseWaiting(
  changed: readonly Changed[],
  run: (text: string, values: unknown[]) => Promise<readonly Changed[]>,
  s: string,
): Promise<void> {
  // Waits for those who are writing and keeps others from it: a message of theirs would go where the channel went before.
  await run(`lock table ${s}.outbox in share mode`, [])
  const text = `
select c.channel, c.transport, c.ordered from ${s}.channels c where c.channel = any($1::text[])
  and exists (select from ${s}.outbox o where o.channel = c.channel) order by 1 limit 1`
  const [waiting] = await run(text, [changed.map((each) => each.channel)])
  if (waiting === undefined) return
  throw new WaybillError(
    'WB_CHANNEL_CONFLICT',
    `Channel "${waiting.channel}" is registered with transport "${waiting.transport}" and ordered ${waiting.ordered}, and ` +
      'messages of it wait in the outbox. Deliver them first, or give the changed channel another name.',
  )
}

function changedText(s: string): string {
  return `
select c.channel, c.transport, c.ordered from ${s}.channels c
join unnest($1::text[], $2::text[], $3::bool[]) n(channel, transport, ordered) on n.channel = c.channel
where n.transport <> c.transport or n.ordered <> c.ordered`
}

/**
 * Partition numbers of different transports never overlap: a partition has one transport. Nor do those of an older layout: fenced
 * transactions, dead letters and lines go by them.
 */
function transportsText(s: string): string {
  return `
with added as (
  insert into ${s}.transports (transport, first_partition, partitions)
  select n.transport, coalesce((select max(first_partition + partitions) from ${s}.layouts), 0)
    + (row_number() over (order by n.transport) - 1)::int * $1::int, $1::int
  from (select distinct u.transport from unnest($2::text[]) u(transport)) n
  where not exists (select from ${s}.transports t where t.transport = n.transport)
  returning *)
insert into ${s}.layouts (transport, generation, first_partition, partitions, state)
select transport, 1, first_partition, partitions, 'current' from added`
}

function channelsText(s: string): string {
  return `
insert into ${s}.channels as c (channel, transport, address, ordered, max_bytes, retained)
select * from unnest($1::text[], $2::text[], $3::text[], $4::bool[], $5::int[], $6::bool[])
on conflict (channel) do update set transport = excluded.transport, address = excluded.address,
  ordered = excluded.ordered, max_bytes = excluded.max_bytes,
  retained = excluded.retained
where (c.transport, c.address, c.ordered, c.max_bytes, c.retained)
  is distinct from (excluded.transport, excluded.address, excluded.ordered, excluded.max_bytes, excluded.retained)`
}

function subscriptionsText(s: string): string {
  return `
insert into ${s}.subscriptions (consumer, channel) select * from unnest($1::text[], $2::text[]) on conflict do nothing`
}

/**
 * A lane of its own for each transport, and one for each consumer that subscribes to a channel of it. A new one gets every layout
 * that is in use: rows that it is to have may stand in an older one.
 */
function lanesText(s: string): string {
  return `
insert into ${s}.layouts (transport, consumer, generation, first_partition, partitions, state)
select l.transport, u.consumer, l.generation, l.first_partition, l.partitions,
  case when l.state = 'current' then 'current' else 'draining' end
from (
  select distinct c.transport, u.consumer from ${s}.subscriptions u join ${s}.channels c on c.channel = u.channel) u
join ${s}.layouts l on l.transport = u.transport and l.consumer = '' and l.state <> 'retired'
where not exists (select from ${s}.layouts o where o.transport = u.transport and o.consumer = u.consumer)`
}

/** Of a new lane only the oldest layout is open; it opens the next when it has run dry. */
function partitionsText(s: string): string {
  return `
insert into ${s}.partitions (consumer, partition, transport, is_open)
select l.consumer, p, l.transport, l.generation = (
  select min(o.generation) from ${s}.layouts o
  where o.transport = l.transport and o.consumer = l.consumer and o.state in ('draining', 'current'))
from ${s}.layouts l, generate_series(l.first_partition, l.first_partition + l.partitions - 1) p
where l.state <> 'retired' on conflict do nothing`
}

/** Whose number of partitions is another than the one asked for. */
function differingText(s: string): string {
  return `select transport, partitions from ${s}.transports where transport = any($1::text[]) and partitions <> $2 order by 1`
}

/** Of row `o`: another consumer than $1 subscribes to its channel, and no other one lacks it. */
function waitsForNobodyElse(s: string): string {
  return `exists (select from ${s}.subscriptions u where u.channel = o.channel and u.consumer <> $1)
  and not exists (select from ${s}.subscriptions u where u.channel = o.channel and u.consumer <> $1
    and not exists (select from ${s}.inbox n where n.consumer = u.consumer and n.message_id = o.id))`
}

/** What the end of consumer $1's subscriptions would release, of each channel. */
function releasedText(s: string): string {
  return `
select e.channel, (
    select count(*) from ${s}.outbox o where o.channel = e.channel and ${waitsForNobodyElse(s)}
      and not exists (select from ${s}.inbox n where n.consumer = $1 and n.message_id = o.id))::float8 as released,
  not exists (select from ${s}.subscriptions u where u.channel = e.channel and u.consumer <> $1) as "isLast"
from ${s}.subscriptions e where e.consumer = $1 order by 1`
}

/** A process of this consumer would go on without its lane, and subscribe again at its next start. */
async function refuseLiving(connection: Queries, s: string, consumer: string): Promise<void> {
  const text = `select host, pid from ${s}.relays where consumer = $1 and lease_until >= clock_timestamp() limit 1`
  const query = { text, values: [consumer] }
  const [living] = await connection.query<{ host: string; pid: number }>(query, 'look for a living consumer')
  if (living === undefined) return
  throw new WaybillError(
    'WB_STORE_CONFLICT',
    `Consumer "${consumer}" runs on ${living.host}, process ${living.pid}, or ran there until a moment ago. Stop it, and when its ` +
      'lease has ended (leaseMs) end its subscriptions.',
    { retryable: 'yes' },
  )
}

/**
 * Ends a consumer's subscriptions with its lane, and deletes the rows that waited only for it. Where it was the last one its
 * rows stay: nobody has had them.
 */
export async function unsubscribe(
  connection: Queries,
  s: string,
  consumer: string,
  options: { readonly keeps: boolean; readonly isDryRun: boolean },
): Promise<readonly EndedSubscription[]> {
  const { keeps, isDryRun } = options
  await refuseLiving(connection, s, consumer)
  const what = `unsubscribe consumer "${consumer}"`
  const query = { text: releasedText(s), values: [consumer] }
  const ended = await connection.query<EndedSubscription>(query, what)
  if (isDryRun) return ended
  const text = `
with ended as (delete from ${s}.subscriptions where consumer = $1 returning channel),
lane as (delete from ${s}.partitions where consumer = $1),
layout as (delete from ${s}.layouts where consumer = $1),
lines as (delete from ${s}.blocked where consumer = $1),
taken as (delete from ${s}.taken where consumer = $1 returning channel, ids),
lost as (
  select t.channel, $1::text as consumer, 'process-ended' as cause, u.id, null as code, u.place
  from taken t, unnest(t.ids) with ordinality u(id, place)),
counted as (${addLossesText(s, 'lost')}),
counters as (delete from ${s}.rewinds where consumer = $1),
gone as (
  delete from ${s}.outbox o using ended e where o.channel = e.channel
  and ${waitsForNobodyElse(s)} ${returned(keeps)})${kept(s, keeps)}
select count(*) from gone`
  await connection.query({ text, values: [consumer] }, what)
  return ended
}
