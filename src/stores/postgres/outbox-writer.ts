import { WaybillError } from '../../kernel/errors.ts'
import type { Appended, Delay, NewMessage, OutboxWriter } from '../../ports/outbox-writer.ts'
import type { SqlExecutor } from '../../ports/sql.ts'
import { storeError } from './errors.ts'
import { named, type Suited } from './statement.ts'

/** Key locks in one call; 20,000 in one transaction were seen to exhaust PostgreSQL's lock table. */
const mostKeys = 1000

/**
 * For several messages, in the order of the function `append`: the transaction's id, the key locks by their hashes (two calls cannot wait for each other in a
 * circle), and only then, row by row in the order given, the numbers. What holds the order: locks are taken over a sorted,
 * distinct set that was joined with the id, and counted; rows are joined with the count, and sorted before they are
 * numbered. Relies on the primary key of channels; takes no lock there, but for the layout's while it changes.
 *
 * The delay is reckoned once, so that messages of one call are due together; on an ordered channel it takes away the id, and one
 * that is too long the payload.
 *
 * A channel that is not registered makes the insert fail, for want of a channel's name: a caller who does not await a publish
 * must not commit without it.
 */
function appendText(s: string): string {
  return `
with x as materialized (select pg_current_xact_id() as xid),
t as materialized (
  select c.channel, c.ordered, c.key_seed, layout.first_partition, layout.partitions, coalesce(
    $7::timestamptz, clock_timestamp() + $8::float8 * interval '1 millisecond') as not_before
  from (values (1)) one left join ${s}.channels c on c.channel = $1
  left join lateral (
    select c.first_partition, c.partitions where not c.is_changing
    union all select l.* from ${s}.locked_layout(c.transport) l where c.is_changing) layout on true),
m as materialized (
  select u.*, case when t.ordered then hashtextextended(u.key, t.key_seed) else uuid_hash_extended(u.id, 0) end as hash
  from t, unnest($2::uuid[], $3::text[], $4::bytea[], $5::text[], $6::jsonb[])
    with ordinality u(id, key, payload, content_type, headers, place)),
l as materialized (
  select count(*) as locks from (
    select pg_advisory_xact_lock(d.hash)
    from (select distinct m.hash from x, t, m where t.ordered order by m.hash) d) taken),
i as (
  insert into ${s}.outbox (partition, id, channel, key, payload, content_type, headers, not_before)
  select case when t.channel is null then 0 else t.first_partition + abs(m.hash % t.partitions)::int end,
    case when t.ordered and t.not_before is not null then null else m.id end,
    t.channel, m.key, case when t.not_before > clock_timestamp() + interval '366 days' then null else m.payload end,
    m.content_type, m.headers, t.not_before
  from l, t, m where l.locks >= 0 order by m.place)
select x.xid::text as xid from x`
}

/**
 * The usual case: one message that is not delayed. Columns are reckoned in the order they have in the table, whatever a statement says:
 * `xid`, the transaction's id; `partition`, on whose way the key's lock is taken; `seq`, the number. The lock stands in the query of
 * the channel, which runs when `partition` asks for it, and is tried last there. What that query finds no row for is judged by
 * `locked_partition`: a layout that changes, and all that is wrong.
 *
 * It is an INSERT and no function, and reads one row, since a transaction is short: what PL/pgSQL or a join makes ready for it anew is
 * more than the row itself. It relies on the primary key of channels. Returning the column itself would need the right to read outbox.
 */
function appendOneText(s: string): string {
  return `
insert into ${s}.outbox (partition, id, channel, key, payload, content_type, headers) values (coalesce((
  select c.first_partition + abs(case when c.ordered then hashtextextended($3::text, c.key_seed)
    else uuid_hash_extended($1::uuid, 0) end % c.partitions)::int
  from ${s}.channels c where c.channel = $2 and not c.is_changing
    and (not c.ordered or pg_advisory_xact_lock(hashtextextended($3::text, c.key_seed)) is not null)),
  ${s}.locked_partition($1, $2, $3, null)), $1, $2, $3, $4, $5, $6) returning pg_current_xact_id()::text as xid`
}

/**
 * A channel or key that is wrong shows by a column: as its not_null_violation, or as `locked_partition` names it. The driver's own
 * error is not passed on then: its `detail` quotes the row, with its payload.
 */
function appendError(error: unknown, channel: string): WaybillError {
  const { code, column, table } = error as Readonly<Record<string, unknown>>
  const wrong = table === 'outbox' && (code === '23502' || code === '22023') ? column : undefined
  if (wrong === 'channel') {
    return new WaybillError(
      'WB_UNKNOWN_CHANNEL',
      `Channel "${channel}" is not registered in the store: call waybill.start(), or run \`waybill migrate\`, once with a ` +
        'configuration that lists it. The transaction can only roll back.',
    )
  }
  if (wrong === 'partition') {
    return new WaybillError(
      'WB_KEY_REQUIRED',
      `Channel "${channel}" is registered as ordered, so each of its messages needs a key. The transaction can only roll back.`,
    )
  }
  if (wrong === 'id') {
    return new WaybillError(
      'WB_GUARANTEE_UNSUPPORTED',
      `Channel "${channel}" is registered as ordered, so none of its messages can be delayed. The transaction can only roll back.`,
    )
  }
  if (wrong === 'payload') {
    return new WaybillError(
      'WB_INVALID_OPTION',
      `A message of channel "${channel}" may be delayed by 366 days at most, by the database's clock. The transaction can only roll back.`,
    )
  }
  return storeError(error, `store messages of channel "${channel}"`)
}

export function createOutboxWriter(schema: string, suited: Suited): OutboxWriter {
  const several = named('append', appendText(schema))
  // Planned each time, the INSERT would cost three times what the function does, whose plans stay with the session.
  const single = named(
    'append_one',
    appendOneText(schema),
    `select ${schema}.append($1, $2, $3, $4, $5, $6) as xid`,
  )
  const delayed = named(
    'append_delayed',
    `select ${schema}.append($1, $2, $3, $4, $5, $6,
      coalesce($7::timestamptz, clock_timestamp() + $8::float8 * interval '1 millisecond')) as xid`,
  )
  return {
    async append(
      transaction: SqlExecutor,
      channel: string,
      messages: readonly NewMessage[],
      delay: Delay | null,
    ): Promise<Appended> {
      refuseTooManyKeys(channel, messages)
      try {
        const [first] = messages
        const [statement, values] =
          first === undefined || messages.length > 1
            ? [several, [...severalValues(channel, messages), ...delayValues(delay)]]
            : delay === null
              ? [single, singleValues(channel, first)]
              : [delayed, [...singleValues(channel, first), ...delayValues(delay)]]
        const [row] = await suited(transaction).execute(statement, values)
        return { transactionId: String(row!['xid']) }
      } catch (error) {
        throw appendError(error, channel)
      }
    },
  }
}

function singleValues(channel: string, { id, key, payload, contentType, headers }: NewMessage): unknown[] {
  return [id, channel, key, bufferOf(payload), contentType, JSON.stringify(headers)]
}

function delayValues(delay: Delay | null): unknown[] {
  if (delay === null) return [null, null]
  return 'at' in delay ? [delay.at.toISOString(), null] : [null, delay.ms]
}

function severalValues(channel: string, messages: readonly NewMessage[]): unknown[] {
  return [
    channel,
    messages.map((message) => message.id),
    messages.map((message) => message.key),
    messages.map((message) => bufferOf(message.payload)),
    messages.map((message) => message.contentType),
    messages.map((message) => JSON.stringify(message.headers)),
  ]
}

function bufferOf(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}

/** Before any SQL: an error from the database would leave the caller a transaction that can only roll back. */
function refuseTooManyKeys(channel: string, messages: readonly NewMessage[]): void {
  const keys = new Set<string>()
  for (const { key } of messages) if (key !== null) keys.add(key)
  if (keys.size <= mostKeys) return
  throw new WaybillError(
    'WB_TOO_MANY_KEYS',
    `${keys.size} keys in one publish on channel "${channel}"; one call may lock ${mostKeys}. Split it into several ` +
      'transactions.',
  )
}
