import { randomUUID } from 'node:crypto'
import { Client } from 'pg'
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest'
import type { Query } from '../../src/demo/database.ts'
import {
  behindText,
  createLoad,
  dropSchemas,
  effectText,
  markText,
  placeText,
} from '../../src/prove/load-tables.ts'
import { postgresDatabase } from '../setup/servers.ts'

let client: Client
let query: Query

beforeAll(async () => {
  client = new Client({ connectionString: (await postgresDatabase()).url })
  await client.connect()
  query = async (text, values) => (await client.query(text, values)).rows
})

afterAll(() => client.end())

beforeEach(async () => {
  await dropSchemas(query, ['load'])
  await createLoad(query, 'load', ['at-most-once', 'at-least-once'])
})

/** Places so many orders of a key, and answers their ids. */
async function place(key: string, count: number): Promise<readonly string[]> {
  const ids = Array.from({ length: count }, () => randomUUID())
  for (const id of ids) await query(placeText('load'), [id, key, 1])
  return ids
}

async function handle(track: string, id: string, seq: number): Promise<void> {
  await query(effectText('load'), [track, id, `${track} k1`, seq, 'hash', null, 1])
}

async function behind(): Promise<{ n: number; isOld: boolean }> {
  const [row] = await query(behindText('load'))
  return { n: Number(row!['n']), isOld: Number(row!['ms']) > 0 }
}

it('counts what has no effect yet, and how old it is', async () => {
  const [first, second] = await place('at-least-once k1', 3)
  expect(await behind()).toEqual({ n: 3, isOld: true })
  await handle('at-least-once', second!, 2)
  expect(await behind()).toEqual({ n: 2, isOld: true })
  await handle('at-least-once', first!, 1)
  expect(await behind()).toEqual({ n: 1, isOld: true })
})

it('waits for nothing that was lost, as far as an effect or a mark behind it tells', async () => {
  const [, second] = await place('at-most-once k1', 4)
  await place('at-most-once k2', 2)
  expect(await behind()).toEqual({ n: 6, isOld: false })
  await handle('at-most-once', second!, 2)
  expect(await behind()).toEqual({ n: 4, isOld: false })
  // Written behind the first of them.
  await query(markText('load'), ['at-most-once', 'at-most-once k2', 1, 1])
  expect(await behind()).toEqual({ n: 3, isOld: false })
  await query(markText('load'), ['at-most-once', 'at-most-once k2', 2, 2])
  expect(await behind()).toEqual({ n: 2, isOld: false })
  await query(markText('load'), ['at-most-once', 'at-most-once k2', 1, 1])
  expect(await behind()).toEqual({ n: 2, isOld: false })
})
