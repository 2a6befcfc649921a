import { isWaybillError, type WaybillError } from '../../kernel/errors.ts'
import type { SentSurvey, Tidied } from '../../ports/sent-messages.ts'
import type { Connection } from './connection.ts'

/** Days made ahead, today included: a cleanup that does not run for so long costs only the dropping whole. */
const daysAhead = 4

/**
 * A lock of a whole table is asked for, and while it is waited for everybody who comes later waits too: so never for long. What does
 * not get it tries again at the next cleanup.
 */
const lockTimeoutMs = 200

/** Autovacuum freezes what is only ever inserted, and estimates stay right (G4). */
const storage = `autovacuum_vacuum_insert_scale_factor = 0, autovacuum_vacuum_insert_threshold = 100000,
  autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000,
  autovacuum_analyze_scale_factor = 0, autovacuum_analyze_threshold = 50000`

interface Day {
  readonly day: string
  readonly next: string
  readonly exists: boolean
  readonly is_past: boolean
  readonly is_ahead: boolean
}

/**
 * The partitions of `sent`: one for each day (UTC), named for it, so that names and bounds cannot disagree. One process at a time, by
 * the lock of the cleanup; every step is a statement that can be run again.
 */
export class SentDays {
  readonly #connection: Connection
  readonly #s: string

  constructor(connection: Connection, s: string) {
    this.#connection = connection
    this.#s = s
  }

  async prepare(): Promise<void> {
    const s = this.#s
    const days = await this.#days(0)
    for (const { day, next, exists, is_ahead } of days) {
      if (exists || !is_ahead) continue
      // Attached, not made in place: that asks for no lock that a move to another day would wait for. It fails where the
      // default partition has messages of that day; then those and their followers stay there.
      const name = `${s}.${dayTable(day)}`
      await this.#run(
        `create table ${name} (like ${s}.sent including defaults) with (${storage});
         alter table ${s}.sent attach partition ${name} for values from ('${day} 00:00+00') to ('${next} 00:00+00')`,
        `make the day ${day} for sent messages`,
      )
    }
  }

  async tidy(retainMs: number, limit: number): Promise<Tidied> {
    let [dropped, deleted] = [0, 0]
    for (const { day, next, exists, is_past } of await this.#days(retainMs)) {
      if (!exists || !is_past) continue
      const outcome = await this.#run(
        `drop table ${this.#s}.${dayTable(day)}`,
        `drop the day ${day} of sent messages`,
      )
      if (outcome === 'done') dropped += 1
      else if (outcome === 'forbidden' && deleted < limit) {
        deleted += await this.#delete(dayText(this.#s), [
          `${day} 00:00+00`,
          `${next} 00:00+00`,
          limit - deleted,
        ])
      }
    }
    if (deleted < limit) deleted += await this.#delete(restText(this.#s), [retainMs, limit - deleted])
    return { days: dropped, messages: deleted }
  }

  async survey(retainMs: number): Promise<SentSurvey> {
    const days = await this.#days(retainMs)
    const [row] = await this.#connection.query<{ past: string; kept: string }>(
      { text: surveyText(this.#s), values: [retainMs, this.#s.slice(1, -1)] },
      'look at sent messages',
    )
    return {
      kept: Number(row!.kept),
      pastDays: days.filter(({ exists, is_past }) => exists && is_past).map(({ day }) => day),
      pastMessages: Number(row!.past),
    }
  }

  #days(retainMs: number): Promise<readonly Day[]> {
    const values = [retainMs, this.#s.slice(1, -1), daysAhead]
    return this.#connection.query<Day>({ text: daysText, values }, 'look at the days of sent messages')
  }

  async #delete(text: string, values: unknown[]): Promise<number> {
    const [row] = await this.#connection.query<{ deleted: number }>(
      { text, values },
      'delete sent messages past their retention',
    )
    return row!.deleted
  }

  /**
   * `not-now`: a lock was not to be had, or somebody else did it first. `forbidden`: the role owns no tables, as a role for run time
   * need not. Anything else is thrown.
   */
  async #run(statements: string, what: string): Promise<'done' | 'not-now' | 'forbidden'> {
    const lock = `select pg_advisory_xact_lock(${cleanupLock(this.#s)})`
    try {
      // Sent as one text, so they are one transaction.
      await this.#connection.query(
        { text: `set local lock_timeout = ${lockTimeoutMs}; ${lock}; ${statements}` },
        what,
      )
      return 'done'
    } catch (error) {
      if (!isWaybillError(error)) throw error
      if (error.code === 'WB_STORE_CONFLICT' || codes.has(codeOf(error))) return 'not-now'
      if (codeOf(error) === insufficientPrivilege) return 'forbidden'
      throw error
    }
  }
}

/** One cleaner at a time in a schema. */
export function cleanupLock(s: string): string {
  return `hashtextextended('waybill purge ${s}', 0)`
}

/** duplicate_table, undefined_table: another was first. check_violation: the default partition has messages of that day. */
const codes = new Set(['42P07', '42P01', '23514'])
const insufficientPrivilege = '42501'

function codeOf({ cause }: WaybillError): string {
  return (cause as { code?: string } | undefined)?.code ?? ''
}

function dayTable(day: string): string {
  return `sent_${day.replaceAll('-', '')}`
}

/** Days that are there by their name, and those that shall be. A day is past when its end is. */
const daysText = `
with days as (
  select to_date(substr(c.relname, 6), 'YYYYMMDD') as day, true as exists
  from pg_inherits i join pg_class c on c.oid = i.inhrelid
  where i.inhparent = to_regclass(format('%I.sent', $2::text)) and c.relname ~ '^sent_[0-9]{8}$'
  union all
  select (clock_timestamp() at time zone 'UTC')::date + n, false from generate_series(0, $3::int - 1) n)
select to_char(day, 'YYYY-MM-DD') as day, to_char(day + 1, 'YYYY-MM-DD') as next, bool_or(exists) as exists,
  (day + 1)::timestamp at time zone 'UTC' < clock_timestamp() - $1::float8 * interval '1 millisecond' as is_past,
  day >= (clock_timestamp() at time zone 'UTC')::date as is_ahead
from days group by day order by day`

/** Of a day, by the table of all days: rights on that one are enough, and planning leaves the others out. */
function dayText(s: string): string {
  return `
with gone as (
  delete from ${s}.sent t using (
    select o.partition, o.seq, o.id from ${s}.sent o where o.sent_at >= $1::timestamptz and o.sent_at < $2::timestamptz
    order by o.partition, o.seq, o.id limit $3::int) d
  where t.sent_at >= $1::timestamptz and t.sent_at < $2::timestamptz
    and t.partition = d.partition and t.seq = d.seq and t.id = d.id returning 1)
select count(*)::int as deleted from gone`
}

function restText(s: string): string {
  return `
with run as materialized (
  select clock_timestamp() - $1::float8 * interval '1 millisecond' as cutoff
  where pg_try_advisory_xact_lock(${cleanupLock(s)})),
gone as (
  delete from ${s}.sent_rest where ctid = any(array(
    select r.ctid from ${s}.sent_rest r where r.sent_at < (select cutoff from run) order by r.sent_at limit $2::int))
  returning 1)
select count(*)::int as deleted from gone`
}

function surveyText(s: string): string {
  return `
select (select count(*) from ${s}.sent_rest r
    where r.sent_at < clock_timestamp() - $1::float8 * interval '1 millisecond') as past,
  (select coalesce(sum(greatest(c.reltuples, 0)), 0)::bigint from pg_inherits i join pg_class c on c.oid = i.inhrelid
    where i.inhparent = to_regclass(format('%I.sent', $2::text))) as kept`
}
