import type { Lane } from '../../ports/lane.ts'
import type { BlockedLine, DeadLetter, LineOutcome, RowRef } from '../../ports/outbox.ts'
import type { Connection } from './connection.ts'

/**
 * Each effect is one autocommit statement. Rows are found by the primary key and all three names; what would be wrong twice
 * reads the partition's epoch under FOR SHARE, so that a claim waits for it or is seen by it.
 */
export class OutboxEffects {
  readonly #connection: Connection
  readonly #lane: Lane
  readonly #remove: string
  readonly #block: string
  readonly #bury: string

  constructor(connection: Connection, schema: string, lane: Lane) {
    this.#connection = connection
    this.#lane = lane
    this.#remove = lane.consumer === '' ? removeText(schema, '') : removeText(schema, sharedRows(schema))
    this.#block = blockText(schema)
    this.#bury = buryText(schema, lane)
  }

  async remove(rows: readonly RowRef[]): Promise<{ readonly removed: number }> {
    const values = [...refsOf(rows), this.#lane.consumer]
    const result = await this.#query('remove', this.#remove, values, 'delete delivered rows')
    return { removed: Number(result[0]?.removed ?? 0) }
  }

  async block(lines: readonly BlockedLine[]): Promise<readonly LineOutcome[]> {
    const values = [
      ...refsOf(lines),
      this.#lane.consumer,
      lines.map((line) => line.epoch.toString()),
      lines.map((line) => line.attempts),
      lines.map((line) => line.errorCode),
      lines.map((line) => line.error),
      lines.map((line) => line.channel),
      lines.map((line) => line.key),
      lines.map((line) => line.retryInMs),
    ]
    return outcomesOf(lines, await this.#query('block', this.#block, values, 'write what failed'))
  }

  async bury(letters: readonly DeadLetter[]): Promise<readonly LineOutcome[]> {
    const values = [
      ...refsOf(letters),
      this.#lane.consumer,
      letters.map((letter) => letter.epoch.toString()),
      letters.map((letter) => letter.attempts),
      letters.map((letter) => letter.errorCode),
      letters.map((letter) => letter.error),
      letters.map((letter) => letter.reason),
    ]
    return outcomesOf(letters, await this.#query('bury', this.#bury, values, 'write dead letters'))
  }

  // oxlint-disable-next-line typescript/no-explicit-any -- rows of the statements below
  async #query(name: string, text: string, values: unknown[], what: string): Promise<any[]> {
    const kind = this.#lane.consumer === '' ? '' : '_consumer'
    return (await this.#connection.query({ name: `waybill_${name}${kind}`, text, values }, what)).rows
  }
}

function refsOf(rows: readonly RowRef[]): unknown[] {
  return [rows.map((row) => row.partition), rows.map((row) => row.seq.toString()), rows.map((row) => row.id)]
}

function outcomesOf(
  asked: readonly RowRef[],
  rows: readonly { place: string; outcome: LineOutcome }[],
): readonly LineOutcome[] {
  const byPlace = new Map(rows.map((row) => [Number(row.place), row.outcome]))
  return asked.map((_, i) => byPlace.get(i + 1) ?? 'gone')
}

/** On a consumer's lane: the note that this consumer has it, where others need it; and the rows nobody lacks. */
function sharedRows(s: string): string {
  return `noted as (
  insert into ${s}.inbox (consumer, message_id)
  select distinct $4::text, o.id from d join ${s}.outbox o using (partition, seq, id)
  where exists (select from ${s}.subscriptions u where u.channel = o.channel and u.consumer <> $4)
  order by 2 on conflict do nothing),`
}

function removeText(s: string, noted: string): string {
  // The notes of this statement are not in its own snapshot: its own consumer is left out of the question.
  const isDone =
    noted === ''
      ? ''
      : `and not exists (select from ${s}.subscriptions u where u.channel = o.channel and u.consumer <> $4
      and not exists (select from ${s}.inbox n where n.consumer = u.consumer and n.message_id = o.id))`
  return `
with d as materialized (select * from unnest($1::int[], $2::bigint[], $3::uuid[]) d(partition, seq, id)),
${noted}
line as (
  delete from ${s}.blocked b using d
  where b.consumer = $4 and b.partition = d.partition and b.seq = d.seq and b.id = d.id returning b.partition),
rewound as (
  insert into ${s}.rewinds as r (consumer, partition, counter)
  select $4, partition, 1 from (select distinct partition from line order by 1) l
  on conflict (consumer, partition) do update set counter = r.counter + 1),
gone as (
  delete from ${s}.outbox o using d
  where o.partition = d.partition and o.seq = d.seq and o.id = d.id ${isDone} returning 1)
select count(*) as removed from gone`
}

const held = (s: string): string => `
held as materialized (
  select p.partition, p.epoch from ${s}.partitions p
  where p.consumer = $4 and p.partition in (select partition from d) order by p.partition for share),
locked as materialized (
  select o.* from ${s}.outbox o join d using (partition, seq, id)
  join held h on h.partition = d.partition and h.epoch = d.epoch order by o.partition, o.seq for update of o)`

const outcome = (written: string): string => `
select d.place, case when h.partition is null then 'fenced' when w.seq is null then 'gone' else 'written' end as outcome
from d left join held h on h.partition = d.partition and h.epoch = d.epoch
left join ${written} w on w.partition = d.partition and w.seq = d.seq`

function blockText(s: string): string {
  return `
with d as materialized (
  select * from unnest($1::int[], $2::bigint[], $3::uuid[], $5::bigint[], $6::int[], $7::text[], $8::text[], $9::text[],
    $10::text[], $11::float8[]) with ordinality
    d(partition, seq, id, epoch, attempts, error_code, error, channel, key, retry_in_ms, place)),
${held(s)},
line as (
  insert into ${s}.blocked as b (consumer, partition, seq, id, channel, key, attempts, retry_at, error_code, error)
  select $4, d.partition, d.seq, d.id, d.channel, d.key, d.attempts,
    clock_timestamp() + d.retry_in_ms * interval '1 millisecond', d.error_code, d.error
  from d join locked o using (partition, seq, id)
  on conflict (consumer, partition, seq) do update set id = excluded.id, channel = excluded.channel, key = excluded.key,
    attempts = excluded.attempts, retry_at = excluded.retry_at, error_code = excluded.error_code, error = excluded.error
  returning b.partition, b.seq)
${outcome('line')}`
}

function buryText(s: string, lane: Lane): string {
  const isConsumer = lane.consumer !== ''
  const noted = isConsumer
    ? `noted as (insert into ${s}.inbox (consumer, message_id) select $4, o.id from locked o
  where exists (select from ${s}.subscriptions u where u.channel = o.channel and u.consumer <> $4)
  order by 2 on conflict do nothing),`
    : ''
  const isDone = isConsumer
    ? `and not exists (select from ${s}.subscriptions u where u.channel = o.channel and u.consumer <> $4
    and not exists (select from ${s}.inbox n where n.consumer = u.consumer and n.message_id = o.id))`
    : ''
  return `
with d as materialized (
  select * from unnest($1::int[], $2::bigint[], $3::uuid[], $5::bigint[], $6::int[], $7::text[], $8::text[], $9::text[])
    with ordinality d(partition, seq, id, epoch, attempts, error_code, error, reason, place)),
${held(s)},
letter as (
  insert into ${s}.dead (consumer, id, channel, key, payload, content_type, headers, created_at, partition, seq, attempts,
    reason, error_code, error)
  select $4, o.id, o.channel, o.key, o.payload, o.content_type, o.headers, o.created_at, o.partition, o.seq, d.attempts,
    d.reason, d.error_code, d.error
  from d join locked o using (partition, seq, id) returning partition, seq),
${noted}
line as (delete from ${s}.blocked b using locked o
  where b.consumer = $4 and b.partition = o.partition and b.seq = o.seq and b.id = o.id),
rewound as (
  insert into ${s}.rewinds as r (consumer, partition, counter)
  select $4, partition, 1 from (select distinct partition from locked order by 1) l
  on conflict (consumer, partition) do update set counter = r.counter + 1),
gone as (delete from ${s}.outbox o using locked k
  where o.partition = k.partition and o.seq = k.seq and o.id = k.id ${isDone})
${outcome('letter')}`
}
