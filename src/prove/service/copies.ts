import { WaybillError } from '../../index.ts'
import type { Query } from '../../demo/database.ts'
import { isWaybillError } from '../../kernel/errors.ts'
import { changingColumns, refuseUnknownColumns, type SourceTable } from '../../testing/idempotency-catalog.ts'
import { quoteName, quoteText } from '../../testing/idempotency-guard.ts'
import { type InTransaction, Scratch } from '../../testing/idempotency-scratch.ts'

export interface CopiesOptions {
  readonly schema: string
  readonly tables: readonly string[]
  /** `table.column`: what may differ between two runs of a handler. */
  readonly ignore: readonly string[]
  readonly maxRows: number
  /** Schemas of the run's own, which its transactions write besides. */
  readonly besides: readonly string[]
}

/** Names the call of a handler whose changes are noted; a setting of its transaction. */
export const runSetting = 'waybill_prove.run'

/** Copies of the user's tables, as `check-idempotency` makes them, that note each change of a row. */
export async function makeCopies(inTransaction: InTransaction, options: CopiesOptions): Promise<Scratch> {
  try {
    const scratch = await Scratch.create(inTransaction, { ...options, names: options.tables })
    refuseUnknownColumns(options.ignore, scratch.tables)
    const changing = new Set([...changingColumns(scratch.tables).keys(), ...options.ignore])
    await inTransaction(async (client) => {
      for (const text of noteTexts(options.schema, scratch.tables, changing)) await client.query(text)
    })
    // Until then the copies are empty.
    await scratch.reset()
    return scratch
  } catch (error) {
    if (isWaybillError(error)) throw error
    const what = 'PostgreSQL would not make the copies of the tables.'
    throw new WaybillError('WB_STORE_FAILED', what, { cause: error })
  }
}

function noteTexts(
  schema: string,
  tables: readonly SourceTable[],
  changing: ReadonlySet<string>,
): readonly string[] {
  const s = quoteName(schema)
  const write = (sign: number, row: string): string =>
    `insert into ${s}."waybill changes" (run, image, sign) values
      (current_run, jsonb_build_array(tg_argv[0], to_jsonb(${row}) - tg_argv[1:]), ${sign});`
  return [
    `create table ${s}."waybill changes" (number bigint generated always as identity primary key, run text not null,
      image jsonb not null, sign int not null)`,
    `create index on ${s}."waybill changes" (run)`,
    `create function ${s}."waybill note"() returns trigger language plpgsql as $note$
      declare current_run text := nullif(pg_catalog.current_setting('${runSetting}', true), '');
      begin
        if current_run is null then return null; end if;
        if tg_op <> 'INSERT' then ${write(-1, 'old')} end if;
        if tg_op <> 'DELETE' then ${write(1, 'new')} end if;
        return null;
      end $note$`,
    // Row triggers see nothing of it.
    `create function ${s}."waybill note truncate"() returns trigger language plpgsql as $note$
      declare current_run text := nullif(pg_catalog.current_setting('${runSetting}', true), '');
      begin
        if current_run is null then return null; end if;
        execute pg_catalog.format('insert into ${s}."waybill changes" (run, image, sign)
          select $1, jsonb_build_array($2, to_jsonb(t) - $3), -1 from %I.%I t', tg_table_schema, tg_table_name)
          using current_run, tg_argv[0], tg_argv[1:];
        return null;
      end $note$`,
    ...tables.flatMap(({ name, table, columns }) => {
      const left = columns.map((column) => column.name).filter((column) => changing.has(`${name}.${column}`))
      const given = [name, ...left].map(quoteText).join(', ')
      const copy = `${s}.${quoteName(table)}`
      return [
        `create trigger "waybill note" after insert or update or delete on ${copy}
          for each row execute function ${s}."waybill note"(${given})`,
        `create trigger "waybill note truncate" before truncate on ${copy}
          for each statement execute function ${s}."waybill note truncate"(${given})`,
      ]
    }),
  ]
}

/** What each run of this track that is noted as a repeat has changed, by its name. */
export async function changesOf(
  query: Query,
  {
    schema,
    loadSchema,
    track,
  }: { readonly schema: string; readonly loadSchema: string; readonly track: string },
): Promise<ReadonlyMap<string, readonly { readonly row: string; readonly sign: number }[]>> {
  const rows = await query(
    `select c.run, c.image::text as row, sum(c.sign)::int as sign from ${quoteName(schema)}."waybill changes" c
     where c.run in (select run from ${loadSchema}.reruns where track = $1) group by c.run, c.image having sum(c.sign) <> 0`,
    [track],
  )
  const byRun = Map.groupBy(rows, (row) => String(row['run']))
  return new Map(
    [...byRun].map(([run, of]) => [
      run,
      of.map((row) => ({ row: String(row['row']), sign: Number(row['sign']) })),
    ]),
  )
}
