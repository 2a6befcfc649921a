import type pg from 'pg'

/** Everything that makes a schema what it is, as text that can be compared. */
export async function shape(client: pg.Client, schema: string): Promise<string[]> {
  const { rows } = await client.query(
    `select 'column ' || concat_ws(' ', table_name, ordinal_position, column_name, data_type, is_nullable, column_default,
       identity_generation, identity_cycle) as line from information_schema.columns where table_schema = $1
     union all select 'index ' || indexdef from pg_indexes where schemaname = $1
     union all select 'options ' || relname || ' ' || coalesce(reloptions::text, '') from pg_class
       where relnamespace = $1::regnamespace and relkind = 'r'
     union all select 'constraint ' || conrelid::regclass || ' ' || pg_get_constraintdef(oid) from pg_constraint
       where connamespace = $1::regnamespace and conrelid <> 0
     union all select 'function ' || pg_get_functiondef(oid) from pg_proc where pronamespace = $1::regnamespace
     union all select 'view ' || viewname || definition from pg_views where schemaname = $1
     union all select 'sequence ' || sequencename || cache_size || cycle from pg_sequences where schemaname = $1
     order by 1`,
    [schema],
  )
  return rows.map(({ line }) => line.replaceAll(new RegExp(String.raw`\b${schema}\b`, 'gu'), 'waybill'))
}
