import { randomBytes } from 'node:crypto'
import { WaybillError } from '../kernel/errors.ts'
import { readTables, type SourceTable, type SqlClient } from './idempotency-catalog.ts'
import type { State, StateRow } from './idempotency-difference.ts'
import { guardText, quoteName, quoteText } from './idempotency-guard.ts'

/** Runs `work` in a transaction of its own. */
export type InTransaction = <T>(work: (client: SqlClient) => Promise<T>) => Promise<T>

/** What handlers published; compared as the tables are. */
export const outboxTable = 'outbox'
export const outboxColumns = ['id', 'channel', 'key', 'payload', 'content_type', 'headers'] as const

const prefix = 'waybill_check_'

/**
 * A schema with copies of the named tables, where a handler whose search_path begins with it finds them by their plain names.
 * Beside each copy stand its rows of the start: `was` as the original had them, `base` what every mode begins with.
 */
export class Scratch {
  readonly schema: string
  readonly tables: readonly SourceTable[]
  readonly #inTransaction: InTransaction

  private constructor(inTransaction: InTransaction, schema: string, tables: readonly SourceTable[]) {
    this.#inTransaction = inTransaction
    this.schema = schema
    this.tables = tables
  }

  /** A name for {@link create}, to be claimed first by {@link claimText}. */
  static newName(): string {
    return `${prefix}${randomBytes(6).toString('hex')}`
  }

  /** Throws `WB_INVALID_OPTION` where a table is not there, is none, or has more rows than `maxRows`. */
  static async create(
    inTransaction: InTransaction,
    { schema, names, maxRows, besides = [] }: ScratchOptions,
  ): Promise<Scratch> {
    const tables = await inTransaction(async (client) => {
      // One snapshot of all tables. Whoever copies half of a transaction compares with a state that never was.
      await client.query('set transaction isolation level repeatable read')
      const found = await readTables(client, names)
      for (const table of found) await refuseLarge(client, table, maxRows)
      await client.query(`create schema ${quoteName(schema)}`)
      const children = await client.query(childrenText, [found.map(({ oid }) => oid)])
      await client.query(
        guardText(
          schema,
          children.rows.map((row) => Number(row['oid'])),
          besides,
        ),
      )
      await client.query(outboxText(schema))
      for (const [index, table] of found.entries()) await copyTable(client, schema, table, index)
      return found
    })
    return new Scratch(inTransaction, schema, tables)
  }

  /** Removes the schema. Waits for what still uses it. */
  async drop(): Promise<void> {
    await dropSchema(this.#inTransaction, this.schema)
  }

  /** Puts every copy back to the base. Until the first time they are empty. */
  async reset(): Promise<void> {
    const s = quoteName(this.schema)
    await this.#inTransaction(async (client) => {
      await client.query(`truncate ${s}."waybill outbox", ${s}."waybill gate"`)
      for (const [index, table] of this.tables.entries()) {
        const columns = writable(table)
        const copy = `${s}.${quoteName(table.table)}`
        await client.query(`truncate ${copy}`)
        if (columns !== '') {
          await client.query(
            `insert into ${copy} (${columns}) overriding system value select ${columns} from ${s}."waybill base ${index}"`,
          )
        }
      }
      // Numbers begin anew too, so that the same run draws the same ones.
      await client.query(`select setval(sequence::regclass, at, is_called) from ${s}."waybill sequences"`)
    })
  }

  /** What stands in the copies, values as PostgreSQL writes them; and what was published. */
  async snapshot(): Promise<State> {
    const s = quoteName(this.schema)
    return await this.#inTransaction(async (client) => {
      await client.query('set transaction isolation level repeatable read')
      const state: Record<string, readonly StateRow[]> = {}
      for (const table of this.tables) {
        const { rows } = await client.query(`select ${texts(table)} from ${s}.${quoteName(table.table)}`)
        state[table.name] = rows
      }
      // Consumers tell copies by the id: the same message twice under one id is one. Without an id of the handler's each is new.
      const published = await client.query(
        `select * from ${s}."waybill outbox" where id is null
         union all (select distinct * from ${s}."waybill outbox" where id is not null)`,
      )
      state[outboxTable] = published.rows
      return state
    })
  }

  /** Makes what the originals held the base again. */
  async restart(): Promise<void> {
    const s = quoteName(this.schema)
    await this.#inTransaction(async (client) => {
      for (const index of this.tables.keys()) {
        await client.query(`truncate ${s}."waybill base ${index}"`)
        await client.query(
          `insert into ${s}."waybill base ${index}" select * from ${s}."waybill was ${index}"`,
        )
      }
      await client.query(`update ${s}."waybill sequences" set at = was_at, is_called = was_called`)
    })
  }

  /** Notes what stands in the copies now as what the next base is to be. */
  async keep(): Promise<void> {
    const s = quoteName(this.schema)
    await this.#inTransaction(async (client) => {
      for (const [index, { table }] of this.tables.entries()) {
        await client.query(`drop table if exists ${s}."waybill next ${index}"`)
        await client.query(`create table ${s}."waybill next ${index}" as table ${s}.${quoteName(table)}`)
      }
      const sequences = await client.query(`select sequence from ${s}."waybill sequences"`)
      for (const { sequence } of sequences.rows) {
        await client.query(
          `update ${s}."waybill sequences" set (next_at, next_called) =
             (select last_value, is_called from ${String(sequence)}) where sequence = ${quoteText(String(sequence))}`,
        )
      }
    })
  }

  /** Makes what was kept the base. */
  async advance(): Promise<void> {
    const s = quoteName(this.schema)
    await this.#inTransaction(async (client) => {
      for (const index of this.tables.keys()) {
        await client.query(`drop table ${s}."waybill base ${index}"`)
        await client.query(`alter table ${s}."waybill next ${index}" rename to "waybill base ${index}"`)
      }
      await client.query(`update ${s}."waybill sequences" set at = next_at, is_called = next_called`)
    })
  }

  /** Originals in which rows are not what they were when the copies were made. */
  async changedOriginals(): Promise<readonly string[]> {
    const s = quoteName(this.schema)
    return await this.#inTransaction(async (client) => {
      const changed: string[] = []
      for (const [index, table] of this.tables.entries()) {
        const now = `select ${texts(table)} from ${originalOf(table)}`
        const was = `select ${texts(table)} from ${s}."waybill was ${index}"`
        const { rows } = await client.query(
          `select exists ((${now} except all ${was}) union all (${was} except all ${now})) as "isChanged"`,
        )
        if (rows[0]?.['isChanged'] === true) changed.push(table.name)
      }
      return changed
    })
  }
}

export interface ScratchOptions {
  readonly schema: string
  readonly names: readonly string[]
  readonly maxRows: number
  /** Schemas that transactions may write besides. @default none */
  readonly besides?: readonly string[]
}

/** Held by the transaction that runs it for as long as the schema `$1` is in use. */
export const claimText = 'select pg_advisory_xact_lock(hashtextextended($1, 0))'

/** Removes the schemas of checks that were killed: those that nobody claims any more. Returns their names. */
export async function removeLeftovers(inTransaction: InTransaction): Promise<readonly string[]> {
  const { rows } = await inTransaction((client) => client.query(leftoversText))
  const names = rows.map((row) => String(row['name']))
  for (const name of names) await dropSchema(inTransaction, name)
  return names
}

const leftoversText = `
  select nspname as name from pg_namespace
  where nspname ~ '^${prefix}[0-9a-f]{12}$' and pg_has_role(nspowner, 'usage')
    and pg_try_advisory_xact_lock(hashtextextended(nspname, 0))`

async function dropSchema(inTransaction: InTransaction, schema: string): Promise<void> {
  await inTransaction(async (client) => {
    await client.query("set local lock_timeout to '30s'")
    await client.query('set local client_min_messages to warning')
    await client.query(`drop schema if exists ${quoteName(schema)} cascade`)
  })
}

// A partition, or a table that inherits, can be named by itself: it holds rows of the original too.
const childrenText = `
  with recursive family (oid) as (
    select unnest($1::oid[]) union select i.inhrelid from pg_catalog.pg_inherits i join family f on f.oid = i.inhparent)
  select oid::int8 as oid from family`

async function refuseLarge(client: SqlClient, table: SourceTable, maxRows: number): Promise<void> {
  const { rows } = await client.query(
    `select count(*)::int as count from (select from ${originalOf(table)} limit $1) as few`,
    [maxRows + 1],
  )
  if (Number(rows[0]?.['count']) <= maxRows) return
  throw new WaybillError(
    'WB_INVALID_OPTION',
    `${table.name} has more than ${maxRows} rows, which would be copied for every run: use a smaller database, or raise --max-rows.`,
  )
}

async function copyTable(
  client: SqlClient,
  schema: string,
  table: SourceTable,
  index: number,
): Promise<void> {
  const s = quoteName(schema)
  const copy = `${s}.${quoteName(table.table)}`
  await client.query(`create table ${copy} (like ${originalOf(table)} including all)`)
  for (const sequence of table.sequences) await copySequence(client, schema, table, sequence)
  for (const name of ['was', 'base']) {
    await client.query(`create table ${s}."waybill ${name} ${index}" as table ${originalOf(table)}`)
  }
}

async function copySequence(
  client: SqlClient,
  schema: string,
  table: SourceTable,
  { schema: home, name, isIdentity, column }: SourceTable['sequences'][number],
): Promise<void> {
  const s = quoteName(schema)
  const copy = `${s}.${quoteName(table.table)}`
  const original = `${quoteName(home)}.${quoteName(name)}`
  let own = `${s}.${quoteName(name)}`
  if (isIdentity) {
    const { rows } = await client.query('select pg_get_serial_sequence($1, $2) as name', [copy, column])
    own = String(rows[0]?.['name'])
  } else {
    // `like` copies a default as it is: it would go on drawing from the original's sequence, which no rollback puts back.
    await client.query(copySequenceText(own, home, name))
    const text = table.columns.find((each) => each.name === column)?.defaultText ?? ''
    const { rows } = await client.query('select $1::regclass::text as name', [original])
    const changed = text.replaceAll(
      `${quoteText(String(rows[0]?.['name']))}::regclass`,
      `${quoteText(own)}::regclass`,
    )
    await client.query(`alter table ${copy} alter column ${quoteName(column)} set default ${changed}`)
  }
  await client.query(
    `insert into ${s}."waybill sequences" (sequence, at, is_called, was_at, was_called)
     select ${quoteText(own)}, last_value, is_called, last_value, is_called from ${original} on conflict do nothing`,
  )
}

function copySequenceText(own: string, home: string, name: string): string {
  return `do $copy$ begin execute (
    select format('create sequence if not exists %s as %s increment %s minvalue %s maxvalue %s start %s %s', ${quoteText(own)},
      data_type, increment_by, min_value, max_value, start_value, case when cycle then 'cycle' else '' end)
    from pg_catalog.pg_sequences where schemaname = ${quoteText(home)} and sequencename = ${quoteText(name)}); end $copy$`
}

function outboxText(schema: string): string {
  const s = quoteName(schema)
  return `
    create table ${s}."waybill outbox" (${outboxColumns.map((name) => `${name} text`).join(', ')});
    create table ${s}."waybill sequences" (sequence text primary key, at int8, is_called boolean,
      was_at int8, was_called boolean, next_at int8, next_called boolean);`
}

function originalOf({ schema, table }: SourceTable): string {
  return `${quoteName(schema)}.${quoteName(table)}`
}

function writable({ columns }: SourceTable): string {
  return columns
    .filter((column) => !column.isGenerated)
    .map(({ name }) => quoteName(name))
    .join(', ')
}

function texts({ columns }: SourceTable): string {
  return columns.map(({ name }) => `${quoteName(name)}::text`).join(', ')
}
