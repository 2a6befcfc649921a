import { randomUUID } from 'node:crypto'
import type { Waybill } from '../index.ts'
import type { Chance } from '../testing/chance.ts'
import type { Client } from '../demo/database.ts'
import { hashOf } from './hash.ts'
import { behindText, placeText } from './load-tables.ts'
import { anyKey, type Track } from './tracks.ts'
import type { Draft } from './writer.ts'

export interface OwnDrafts {
  readonly waybill: Waybill<Client>
  readonly tracks: readonly Track[]
  readonly schema: string
  readonly canary: string
  readonly chance: Chance
}

/**
 * With more behind, nothing is placed until consumers have caught up: a machine that is busy with others is no fault, and what it cannot carry
 * would look like one that never heals. More than any fault leaves behind on a machine that has time.
 */
const mostBehind = 400

/** The same of time: one key may be far behind when all keys together are not. */
const mostBehindMs = 5000

/** See `WriterOptions`. */
export async function isFarBehind(tx: Client, schema: string): Promise<boolean> {
  const { rows } = await tx.query(behindText(schema))
  const { n, ms } = rows[0]!
  return Number(n) > mostBehind || Number(ms) > mostBehindMs
}

/** Draws orders of the run's own tracks. */
export function ownDrafts({ waybill, tracks, schema, canary, chance }: OwnDrafts) {
  return (count: number): Promise<readonly Draft[]> => {
    const track = tracks[Math.floor(chance() * tracks.length)]!
    const key = anyKey(track, chance)
    const draft = (): Draft => {
      const id = randomUUID()
      return {
        id,
        keys: [key],
        async place(tx) {
          const amount = 1 + Math.floor(chance() * 9)
          const { rows } = await tx.query(placeText(schema), [id, key, amount])
          const load = { key, seq: Number(rows[0]!['seq']), amount, canary }
          await waybill.publish(tx, track.channel, load, { id })
          return { seq: load.seq, hash: hashOf(load) }
        },
      }
    }
    return Promise.resolve(Array.from({ length: count }, draft))
  }
}
