import pg from 'pg'
import { removeFoundText } from '../../src/stores/postgres/outbox-remove-statements.ts'
import { readStatement } from '../../src/stores/postgres/outbox-read-statement.ts'
import { named } from '../../src/stores/postgres/statement.ts'
import { fill, mustBeEmpty, settle } from '../fill.ts'
import type { Environment } from './environment.ts'
import { channelName, openOutbox } from './outbox.ts'

const schema = 'waybill'
const lane = { transport: 'bench', consumer: '' }
const bytea = 17
const bytesOf = (text: string): Buffer => Buffer.from(text.slice(2), 'hex')
const textOf = (text: string): string => text

/** Payloads become bytes, to be sent; nothing else is made of the text that comes. */
const types: pg.CustomTypesConfig = {
  getTypeParser: (oid: number) => (oid === bytea ? bytesOf : textOf),
}

/** The columns of a read, by their place in it. */
const column = { said: 1, partition: 2, seq: 3, id: 4, place: 12 } as const

/**
 * The relay's own two statements, read and delete, in a loop of two awaits on one connection, by what the driver offers: no leases, no
 * order, no failures, one batch after the other.
 */
export async function drainByOwnStatements(
  environment: Environment,
  messages: number,
  batch: number,
): Promise<{ readonly rate: number }> {
  const count = environment.sized(messages)
  await using _outbox = await openOutbox(environment)
  await fill(environment.pool, { channel: channelName, messages: count, keys: 10_000 })
  await settle(environment.pool, 'waybill.outbox')
  const client = new pg.Client({ connectionString: environment.url })
  await client.connect()
  const read = {
    ...named('read', readStatement(schema, lane)),
    rowMode: 'array',
    types,
  } as const
  const remove = named('remove_found', removeFoundText(schema, false))
  try {
    const { rows: found } = await client.query(
      `select distinct partition from ${schema}.outbox order by partition`,
    )
    const floors = new Map(found.map(({ partition }) => [Number(partition), '0']))
    const share = Math.ceil(batch / floors.size)
    let [open, xmax]: [readonly string[], string | null] = [[], null]
    const started = performance.now()
    for (let drained = 0; drained < count;) {
      const values = [
        [...floors.keys()],
        [...floors.values()],
        open,
        xmax,
        ...[share, batch, batch, [channelName], ''],
        ...[[...floors].map(() => null), [...floors].map(() => null)],
        ...[1_000_000, 1_000_000 * share, 1000, [], []],
      ]
      const { rows } = await client.query<unknown[]>({ ...read, values })
      const { snapshot } = JSON.parse(rows[0]![column.said] as string) as { readonly snapshot: string }
      const [, top, underway] = snapshot.split(':') as [string, string, string]
      ;[open, xmax] = [underway === '' ? [] : underway.split(','), top]
      const messagesRead = rows.slice(1)
      if (messagesRead.length === 0) throw new Error(`the loop found ${drained} of ${count} rows`)
      for (const row of messagesRead) floors.set(Number(row[column.partition]), row[column.seq] as string)
      const of = (which: number): readonly unknown[] => messagesRead.map((row) => row[which])
      const names = [of(column.partition), of(column.seq), of(column.id)]
      await client.query({ ...remove, values: [...names, '', of(column.place)] })
      drained += messagesRead.length
    }
    const seconds = (performance.now() - started) / 1000
    await mustBeEmpty(environment.pool, 'waybill.outbox')
    return { rate: count / seconds }
  } finally {
    await client.end()
  }
}
