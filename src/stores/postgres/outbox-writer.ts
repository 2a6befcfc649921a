import { WaybillError } from '../../kernel/errors.ts'
import type { Appended, NewMessage, OutboxWriter } from '../../ports/outbox-writer.ts'
import type { SqlExecutor, SqlStatement } from '../../ports/sql.ts'
import { storeError } from './errors.ts'

/** Key locks in one call; 20,000 in one transaction were seen to exhaust PostgreSQL's lock table. */
const mostKeys = 1000

/**
 * The CTEs are materialised so that they run in this order: the transaction's id, the key locks in the order of their hashes (two
 * calls cannot wait for each other in a circle), and only then, row by row in the order given, the numbers. Relies on the
 * primary keys of channels and transports; takes no lock on them.
 */
function appendStatement(schema: string): SqlStatement {
  return {
    name: `waybill_append_${schema}`,
    text: `
with x as materialized (select pg_current_xact_id() as xid),
t as materialized (
  select c.ordered, t.first_partition, t.partitions
  from ${schema}.channels c join ${schema}.transports t on t.transport = c.transport where c.channel = $1),
m as materialized (
  select u.*, hashtextextended(case when t.ordered then $1 || chr(10) || u.key else u.id::text end, 0) as hash
  from t, unnest($2::uuid[], $3::text[], $4::bytea[], $5::text[], $6::jsonb[])
    with ordinality u(id, key, payload, content_type, headers, place)),
l as materialized (
  select count(*) as locks from (
    select pg_advisory_xact_lock(d.hash)
    from (select distinct m.hash from x, t, m where t.ordered order by m.hash) d) taken),
i as (
  insert into ${schema}.outbox (partition, id, channel, key, payload, content_type, headers)
  select t.first_partition + abs(m.hash % t.partitions)::int, m.id, $1, m.key, m.payload, m.content_type, m.headers
  from l, t, m where l.locks >= 0 order by m.place
  returning 1)
select x.xid::text as xid, (select count(*) from i)::int as written from x`,
  }
}

export function createOutboxWriter(schema: string): OutboxWriter {
  const statement = appendStatement(schema)
  return {
    async append(transaction: SqlExecutor, channel: string, messages: readonly NewMessage[]): Promise<Appended> {
      const keys = new Set(messages.map((message) => message.key))
      if (keys.size > mostKeys) {
        throw new WaybillError(
          'WB_TOO_MANY_KEYS',
          `${keys.size} keys in one publish on channel "${channel}"; a transaction may lock ${mostKeys}. Split it into several.`,
        )
      }
      let row
      try {
        const rows = await transaction.execute(statement, [
          channel,
          messages.map((message) => message.id),
          messages.map((message) => message.key),
          messages.map((message) => Buffer.from(message.payload.buffer, message.payload.byteOffset, message.payload.byteLength)),
          messages.map((message) => message.contentType),
          messages.map((message) => JSON.stringify(message.headers)),
        ])
        row = rows[0]
      } catch (error) {
        throw storeError(error, `store messages of channel "${channel}"`)
      }
      if (row?.['written'] !== messages.length) {
        throw new WaybillError(
          'WB_UNKNOWN_CHANNEL',
          `Channel "${channel}" is not registered in the store: call waybill.start(), or run \`waybill migrate\`, once with ` +
            'a configuration that lists it.',
        )
      }
      return { transactionId: String(row['xid']) }
    },
  }
}
