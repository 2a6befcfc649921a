import type pg from 'pg'
import type { Outbox } from '../../../src/ports/outbox.ts'
import type { Store } from '../../../src/ports/store.ts'
import { until } from '../../../src/testing/until.ts'
import { append, connect, message, type Street } from './support.ts'

/** A small generator of its own (mulberry32), so that a seed that failed can be run again. */
export function seeded(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let t = Math.imul(state ^ (state >>> 15), 1 | state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296
  }
}

/** The store, with reads of its outboxes that are counted. */
export function countingReads(store: Store): { readonly store: Store; readonly reads: () => number } {
  let count = 0
  const openOutbox: Store['openOutbox'] = async (lane) => {
    const outbox = await store.openOutbox(lane)
    const read: Outbox['read'] = async (request) => {
      const result = await outbox.read(request)
      count += 1
      return result
    }
    return { ...outbox, read }
  }
  return { store: { ...store, openOutbox }, reads: () => count }
}

export interface WorkloadOptions {
  readonly url: string
  readonly store: Store
  readonly street: Street
  readonly seed: number
  /** How many reads there have been: slow writers hold their transaction open for some of them. */
  readonly reads: () => number
  readonly writers?: number
  readonly rounds?: number
}

/**
 * Many writers with overlapping transactions on 20 keys: several messages of a key in one of them, slow ones, rollbacks, to a
 * savepoint too, and prepared transactions. Each message says how often its key has been written, counted in a row that its
 * transaction holds locked to its end: what is committed of a key is 1, 2, 3 … in the order of commits, whatever the outbox's
 * own numbers say. Returns how many that are, by key.
 */
export async function runWorkload(options: WorkloadOptions): Promise<ReadonlyMap<string, number>> {
  const { url, store, street, seed, reads, writers = 12, rounds = 40 } = options
  const { channel } = street
  const admin = await connect(url)
  await admin.query(
    'create table if not exists counted (channel text, key text, n int, primary key (channel, key))',
  )
  await admin.query(
    `insert into counted select $1, 'key-' || lpad(g::text, 2, '0'), 0 from generate_series(0, 19) g`,
    [channel],
  )

  const write = async (client: pg.Client, key: string): Promise<void> => {
    const counting = 'update counted set n = n + 1 where channel = $1 and key = $2 returning n'
    const { rows } = await client.query(counting, [channel, key])
    await append(store, client, channel, message(key, String(rows[0].n)))
  }
  const untilRead = (more: number): Promise<boolean> => {
    const goal = reads() + more
    return until('more reads', () => reads() >= goal, { everyMs: 1 })
  }

  await Promise.all(
    Array.from({ length: writers }, async (_, w) => {
      const random = seeded(seed + w)
      const client = await connect(url)
      for (let round = 0; round < rounds; round++) {
        const count = 1 + Math.floor(random() * 3)
        const keys = Array.from(
          { length: count },
          () => `key-${String(Math.floor(random() * 20)).padStart(2, '0')}`,
        )
        await client.query('begin')
        // In order, so that writers wait for each other and never in a circle.
        for (const key of keys.toSorted()) {
          await write(client, key)
          if (random() < 0.1) {
            await client.query('savepoint s')
            await write(client, key)
            await client.query('rollback to s')
          }
          if (random() < 0.1) await untilRead(2 + Math.floor(random() * 4))
        }
        const end = random()
        if (end < 0.1) await client.query('rollback')
        else if (end < 0.2) {
          const name = `${channel}-${w}-${round}`
          await client.query(`prepare transaction '${name}'`)
          await untilRead(2)
          await client.query(`commit prepared '${name}'`)
        } else await client.query('commit')
      }
    }),
  )
  const { rows } = await admin.query('select key, n from counted where channel = $1 and n > 0', [channel])
  return new Map(rows.map(({ key, n }) => [key, n]))
}

/** What was delivered of each key, judged against how often it was written. */
export interface Verdict {
  readonly expected: number
  readonly lost: number
  readonly twice: number
  readonly outOfOrder: number
}

export class Deliveries {
  readonly #ofKey = new Map<string, number[]>()
  total = 0

  add(row: { readonly key: string | null; readonly payload: Uint8Array }): void {
    const numbers = this.#ofKey.get(row.key!) ?? []
    numbers.push(Number(Buffer.from(row.payload).toString()))
    this.#ofKey.set(row.key!, numbers)
    this.total += 1
  }

  judge(written: ReadonlyMap<string, number>): Verdict {
    const verdict = { expected: 0, lost: 0, twice: 0, outOfOrder: 0 }
    for (const [key, count] of written) {
      const numbers = this.#ofKey.get(key) ?? []
      const seen = new Set(numbers)
      verdict.expected += count
      verdict.twice += numbers.length - seen.size
      for (let n = 1; n <= count; n++) if (!seen.has(n)) verdict.lost += 1
      const firsts = [...seen]
      for (const [i, n] of firsts.entries()) if (i > 0 && n < firsts[i - 1]!) verdict.outOfOrder += 1
    }
    return verdict
  }
}
