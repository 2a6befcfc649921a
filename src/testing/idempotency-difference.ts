/** A row: column name to value. */
export type StateRow = Readonly<Record<string, unknown>>

/** What stands in each table, or whatever else holds effects, by its name. The order of rows does not count. */
export type State = Readonly<Record<string, readonly StateRow[]>>

export interface RowDifference {
  readonly kind: 'more' | 'less' | 'different'
  /** Values of the key's columns; empty where the table has no key. */
  readonly key: StateRow
  /** Of a `different` row: which columns. */
  readonly columns: readonly string[]
  /** Only where rows are to be shown. */
  readonly found?: StateRow | undefined
  readonly expected?: StateRow | undefined
}

export interface TableDifference {
  readonly table: string
  /** Rows that the reference does not have. */
  readonly more: number
  /** Rows that only the reference has. */
  readonly less: number
  /** Rows of the same key with other values. */
  readonly different: number
  readonly first: RowDifference
}

export interface CompareOptions {
  /** Columns that tell rows apart, by table. @default none: rows are more or less, never different */
  readonly keys?: Readonly<Record<string, readonly string[]>> | undefined
  /**
   * What stood there before. A column of the key that may differ is compared after all in rows that stood there, by their key:
   * a generated number differs from run to run only where a row is new.
   * @default nothing
   */
  readonly before?: State | undefined
  /** `table.column`: what may differ. @default none */
  readonly ignore?: readonly string[] | undefined
  /** Values of whole rows in the result. @default false */
  readonly showRows?: boolean | undefined
}

/** Where `found` differs from `expected`, a line for each table; tables that only one of them has differ in all rows. */
export function compareStates(
  expected: State,
  found: State,
  options: CompareOptions = {},
): readonly TableDifference[] {
  const ignored = new Set(options.ignore)
  const tables = new Set([...Object.keys(expected), ...Object.keys(found)])
  return [...tables].flatMap((table) => {
    const key = options.keys?.[table] ?? []
    const old = new Set((options.before?.[table] ?? []).map((row) => textOf(pick(row, key))))
    const difference = compareTable(
      { rows: expected[table] ?? [], others: found[table] ?? [] },
      {
        key,
        isCompared: (column, row) =>
          !ignored.has(`${table}.${column}`) || (key.includes(column) && old.has(textOf(pick(row, key)))),
      },
      options.showRows === true,
    )
    return difference === undefined ? [] : [{ table, ...difference }]
  })
}

interface Comparison {
  readonly key: readonly string[]
  readonly isCompared: (column: string, row: StateRow) => boolean
}

function compareTable(
  { rows, others }: { readonly rows: readonly StateRow[]; readonly others: readonly StateRow[] },
  comparison: Comparison,
  showRows: boolean,
): Omit<TableDifference, 'table'> | undefined {
  const less = without(rows, others, comparison)
  const more = without(others, rows, comparison)
  const pairs = pairUp(less, more, comparison)
  const [pair] = pairs
  const found = pair?.found ?? more[0]
  const expected = pair?.expected ?? (found === undefined ? less[0] : undefined)
  const row = found ?? expected
  if (row === undefined) return undefined
  const first: RowDifference = {
    kind: pair !== undefined ? 'different' : found === undefined ? 'less' : 'more',
    key: pick(row, comparison.key),
    columns: pair === undefined ? [] : changedColumns(pair.expected, pair.found, comparison),
    ...(showRows ? { found, expected } : {}),
  }
  return { more: more.length, less: less.length, different: pairs.length, first }
}

interface Pair {
  readonly expected: StateRow
  readonly found: StateRow
}

/** Takes the rows of one key out of both lists. */
function pairUp(less: StateRow[], more: StateRow[], { key }: Comparison): readonly Pair[] {
  if (key.length === 0) return []
  const pairs: Pair[] = []
  const byKey = new Map(less.map((row) => [textOf(pick(row, key)), row]))
  for (const found of [...more]) {
    const name = textOf(pick(found, key))
    const expected = byKey.get(name)
    if (expected === undefined) continue
    byKey.delete(name)
    less.splice(less.indexOf(expected), 1)
    more.splice(more.indexOf(found), 1)
    pairs.push({ expected, found })
  }
  return pairs
}

/** `rows` without those that `others` has too; each of the others stands for one. */
function without(
  rows: readonly StateRow[],
  others: readonly StateRow[],
  { isCompared }: Comparison,
): StateRow[] {
  const counts = new Map<string, number>()
  const nameOf = (row: StateRow): string =>
    textOf(
      pick(
        row,
        Object.keys(row).filter((column) => isCompared(column, row)),
      ),
    )
  for (const other of others) {
    const name = nameOf(other)
    counts.set(name, (counts.get(name) ?? 0) + 1)
  }
  return rows.filter((row) => {
    const name = nameOf(row)
    const count = counts.get(name) ?? 0
    counts.set(name, count - 1)
    return count <= 0
  })
}

function changedColumns(expected: StateRow, found: StateRow, { isCompared }: Comparison): string[] {
  const columns = new Set([...Object.keys(expected), ...Object.keys(found)])
  return [...columns].filter(
    (name) => isCompared(name, found) && textOf({ value: expected[name] }) !== textOf({ value: found[name] }),
  )
}

function pick(row: StateRow, columns: readonly string[]): StateRow {
  return Object.fromEntries(columns.map((name) => [name, row[name]]))
}

/** The same text for the same values, in whatever order columns and fields come. */
function textOf(row: StateRow): string {
  return JSON.stringify(row, (_name, value: unknown) => {
    if (typeof value === 'bigint') return `${value}n`
    if (typeof value !== 'object' || value === null || Array.isArray(value)) return value
    return Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)))
  })
}
