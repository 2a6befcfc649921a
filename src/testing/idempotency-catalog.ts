import { WaybillError } from '../kernel/errors.ts'
import { didYouMean } from '../kernel/suggest.ts'

/** What the check uses of a transaction's client. */
export interface SqlClient {
  query(text: string, values?: unknown[]): Promise<{ readonly rows: readonly Record<string, unknown>[] }>
}

export interface SourceTable {
  /** As it was named. */
  readonly name: string
  readonly oid: number
  readonly schema: string
  readonly table: string
  readonly columns: readonly SourceColumn[]
  readonly key: readonly string[]
  readonly sequences: readonly SourceSequence[]
  /** What the copy lacks, for people: triggers, … */
  readonly lacks: readonly string[]
}

export interface SourceColumn {
  readonly name: string
  readonly isGenerated: boolean
  readonly isIdentity: boolean
  /** The default's text with every name qualified, or `null`. */
  readonly defaultText: string | null
  /** `oid.column` of what it references by a foreign key. */
  readonly references: readonly string[]
}

export interface SourceSequence {
  readonly schema: string
  readonly name: string
  /** Of an identity column: made by `like … including identity`. */
  readonly isIdentity: boolean
  readonly column: string
}

/**
 * What the catalog says of the tables, as the client's search_path finds their names; after it the search_path is empty, so that
 * every name in the answers is qualified. Throws `WB_INVALID_OPTION` where a name is none of a table that can be copied.
 */
export async function readTables(
  client: SqlClient,
  names: readonly string[],
): Promise<readonly SourceTable[]> {
  const found: FoundTable[] = []
  for (const name of names) found.push(await findTable(client, name))
  await client.query("set local search_path to ''")
  const tables: SourceTable[] = []
  for (const each of found) {
    const twin = tables.find(({ table }) => table === each.table)
    if (twin !== undefined) {
      throw new WaybillError(
        'WB_INVALID_OPTION',
        `${each.name} and ${twin.name} have the same name without their schemas, so that copies of both cannot stand side by side.`,
      )
    }
    const columns = await client.query(columnsText, [each.oid])
    const key = await client.query(keyText, [each.oid])
    const sequences = await client.query(sequencesText, [each.oid])
    tables.push({
      ...each,
      columns: columns.rows as unknown as SourceColumn[],
      key: key.rows.map((row) => String(row['name'])),
      sequences: sequences.rows as unknown as SourceSequence[],
    })
  }
  return tables
}

interface FoundTable {
  readonly name: string
  readonly oid: number
  readonly schema: string
  readonly table: string
  readonly lacks: readonly string[]
}

async function findTable(client: SqlClient, name: string): Promise<FoundTable> {
  const { rows } = await client.query(tableText, [name])
  const row = rows[0]
  if (row === undefined) {
    throw new WaybillError(
      'WB_INVALID_OPTION',
      `There is no table ${name} that this database role can see: check --tables.`,
    )
  }
  if (row['kind'] !== 'r' && row['kind'] !== 'p') {
    throw new WaybillError(
      'WB_INVALID_OPTION',
      `${name} is no table (a view?): name in --tables the tables that hold its rows.`,
    )
  }
  const lacks = [
    ...(row['hasTriggers'] === true ? ['triggers'] : []),
    ...(row['hasForeignKeys'] === true ? ['foreign keys'] : []),
    ...(row['hasRules'] === true ? ['rules'] : []),
    ...(row['hasPolicies'] === true ? ['row security'] : []),
  ]
  return { name, oid: Number(row['oid']), schema: String(row['schema']), table: String(row['table']), lacks }
}

const tableText = `
  select c.oid::int8 as oid, n.nspname as schema, c.relname as table, c.relkind as kind, c.relhasrules as "hasRules",
    c.relrowsecurity as "hasPolicies",
    exists (select from pg_trigger t where t.tgrelid = c.oid and not t.tgisinternal) as "hasTriggers",
    exists (select from pg_constraint k where k.contype = 'f' and c.oid in (k.conrelid, k.confrelid)) as "hasForeignKeys"
  from pg_class c join pg_namespace n on n.oid = c.relnamespace where c.oid = to_regclass($1)`

const columnsText = `
  select a.attname as name, a.attgenerated <> '' as "isGenerated", a.attidentity <> '' as "isIdentity",
    case when a.attgenerated = '' then pg_get_expr(d.adbin, d.adrelid) end as "defaultText",
    array(select k.confrelid::text || '.' || f.attname from pg_constraint k
      join unnest(k.conkey, k.confkey) as pair(own, other) on pair.own = a.attnum
      join pg_attribute f on f.attrelid = k.confrelid and f.attnum = pair.other
      where k.contype = 'f' and k.conrelid = a.attrelid) as references
  from pg_attribute a left join pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
  where a.attrelid = $1 and a.attnum > 0 and not a.attisdropped order by a.attnum`

const keyText = `
  select a.attname as name from pg_index i join unnest(i.indkey) with ordinality as k(attnum, at) on true
  join pg_attribute a on a.attrelid = i.indrelid and a.attnum = k.attnum
  where i.indrelid = $1 and i.indisprimary order by k.at`

// A default depends on the sequence it draws from ('n'); the sequence of an identity column depends on the column ('i').
const sequencesText = `
  select n.nspname as schema, s.relname as name, false as "isIdentity", a.attname as column
  from pg_attrdef d join pg_depend p on p.classid = 'pg_attrdef'::regclass and p.objid = d.oid and p.refclassid = 'pg_class'::regclass
  join pg_class s on s.oid = p.refobjid and s.relkind = 'S' join pg_namespace n on n.oid = s.relnamespace
  join pg_attribute a on a.attrelid = d.adrelid and a.attnum = d.adnum
  where d.adrelid = $1
  union
  select n.nspname, s.relname, true, a.attname
  from pg_depend p join pg_class s on s.oid = p.objid and s.relkind = 'S' join pg_namespace n on n.oid = s.relnamespace
  join pg_attribute a on a.attrelid = p.refobjid and a.attnum = p.refobjsubid
  where p.classid = 'pg_class'::regclass and p.refclassid = 'pg_class'::regclass and p.deptype = 'i' and p.refobjid = $1`

const changing =
  /\b(?:nextval|now|current_(?:timestamp|date|time)|localtime(?:stamp)?|(?:clock|statement|transaction)_timestamp|timeofday|random|gen_random_uuid|uuid_generate_v\w+|uuidv[47])\b/iu

/**
 * `table.column` and why, for columns that differ between any two runs: identity columns, defaults that draw a number, a time
 * or a random value, and foreign keys to such.
 */
export function changingColumns(tables: readonly SourceTable[]): ReadonlyMap<string, string> {
  const reasons = new Map<string, string>()
  const byOid = new Map<string, string>()
  const note = (table: SourceTable, column: SourceColumn, reason: string): void => {
    reasons.set(`${table.name}.${column.name}`, reason)
    byOid.set(`${table.oid}.${column.name}`, reason)
  }
  const each = tables.flatMap((table) => table.columns.map((column) => ({ table, column })))
  for (const { table, column } of each) {
    if (column.isIdentity) note(table, column, 'identity')
    else if (changing.test(column.defaultText ?? '')) note(table, column, `default ${column.defaultText}`)
  }
  // A foreign key may lead to a column that is itself a foreign key: until nothing is added.
  for (let before = -1; before < reasons.size;) {
    before = reasons.size
    for (const { table, column } of each) {
      if (!column.references.some((name) => byOid.has(name))) continue
      if (!reasons.has(`${table.name}.${column.name}`)) note(table, column, 'foreign key to such a column')
    }
  }
  return reasons
}

/** What `--ignore` names: a word that is none of these would ignore nothing. Throws `WB_INVALID_OPTION`. `others`: columns besides. */
export function refuseUnknownColumns(
  columns: readonly string[],
  tables: readonly SourceTable[],
  others: readonly string[] = [],
): void {
  const known = tables.flatMap(({ name, columns: own }) => own.map((each) => `${name}.${each.name}`))
  known.push(...others)
  const unknown = columns.find((column) => !known.includes(column))
  if (unknown === undefined) return
  throw new WaybillError(
    'WB_INVALID_OPTION',
    `--ignore takes table.column of a table named in --tables; ${unknown} is none.${didYouMean(unknown, known)}`,
  )
}
