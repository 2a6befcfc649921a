import type pg from 'pg'

export interface Filling {
  /** @default 'waybill' */
  readonly schema?: string
  /** Registered already: by `migrate()` of an instance that has it. */
  readonly channel: string
  readonly messages: number
  readonly keys: number
}

/** 500 bytes of JSON with the message's number, `g`. */
export const payloadSql = `convert_to('{"text":"' || rpad('', 482 - length(g::text), 'x') || '","n":' || g || '}', 'utf8')`

/** Messages in one statement, where publish would have put them: the partition is reckoned as in the function `append`. */
export async function fill(
  client: pg.Pool | pg.ClientBase,
  { schema = 'waybill', channel, messages, keys }: Filling,
): Promise<void> {
  const { rowCount } = await client.query(
    `insert into ${schema}.outbox(partition, id, channel, key, payload, content_type, headers)
     select c.first_partition + abs(case when c.ordered then hashtextextended(m.key, c.key_seed)
         else uuid_hash_extended(m.id, 0) end % c.partitions)::int,
       m.id, $1, m.key, m.payload, 'application/json', '{}'
     from (select gen_random_uuid() as id, (g % $3::int)::text as key, ${payloadSql} as payload
         from generate_series(1, $2::int) g) m,
       ${schema}.channels c
     where c.channel = $1`,
    [channel, messages, keys],
  )
  if (rowCount !== messages) throw new Error(`${rowCount} of ${messages} messages were filled in`)
}

/** Hint bits set and statistics made, so that the first reader does not pay for them; and no checkpoint in the middle. */
export async function settle(client: pg.Pool | pg.ClientBase, table: string): Promise<void> {
  await client.query(`vacuum analyze ${table}`)
  await client.query('checkpoint')
}

/** A bench that did nothing, or leaves something, has measured something else. */
export async function mustHave(client: pg.Pool | pg.ClientBase, table: string, count: number): Promise<void> {
  const { rows } = await client.query<{ n: string }>(`select count(*) as n from ${table}`)
  if (rows[0]?.n !== String(count)) throw new Error(`${table} has ${rows[0]?.n} rows in place of ${count}`)
}

export async function mustBeEmpty(client: pg.Pool | pg.ClientBase, table: string): Promise<void> {
  await mustHave(client, table, 0)
}
