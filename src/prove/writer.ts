import { randomUUID } from 'node:crypto'
import { setTimeout as pause } from 'node:timers/promises'
import { CommitOutcomeUnknownError, type Waybill } from '../index.ts'
import type { Chance } from '../testing/chance.ts'
import type { HistoryRecorder } from '../testing/history.ts'
import type { Client } from '../demo/database.ts'
import { hashOf } from './hash.ts'
import { behindText, placeText } from './load-tables.ts'
import { anyKey, type Track } from './tracks.ts'

export interface WriterOptions {
  readonly waybill: Waybill<Client>
  readonly tracks: readonly Track[]
  readonly schema: string
  readonly canary: string
  readonly chance: Chance
  readonly history: HistoryRecorder
}

/**
 * `kept`: one message · `burst`: many of one key · `long`: stays open for a while, so that others commit before it · `refused`: an error
 * after everything was written · `changed`: one undone to a savepoint, and another kept.
 */
type Manner = 'kept' | 'burst' | 'long' | 'refused' | 'changed'

interface Draft {
  readonly id: string
  readonly isUndone: boolean
}

/**
 * With more behind, nothing is placed until consumers have caught up: a machine that is busy with others is no fault, and what it cannot carry
 * would look like one that never heals. More than any fault leaves behind on a machine that has time.
 */
const mostBehind = 400
const lookEveryMs = 250

const burst = 12
const longMs = 150

class Regret extends Error {}

/** Places orders of all tracks at an even rate, in all manners, and notes what it was told of each. */
export class Writer {
  readonly #options: WriterOptions
  #isAhead = false

  constructor(options: WriterOptions) {
    this.#options = options
  }

  /** Until told to close; resolves when the last transaction has ended. */
  async run(perSecond: number, closing: AbortSignal): Promise<void> {
    const opened = performance.now()
    let visits = 0
    const till = async (): Promise<void> => {
      while (!closing.aborted) {
        const due = opened + (visits++ * 1000) / perSecond
        await pause(Math.max(0, due - performance.now()), undefined, { signal: closing }).catch(() => {})
        if (!closing.aborted && !this.#isAhead) await this.#visit()
      }
    }
    const look = async (): Promise<void> => {
      while (!closing.aborted) {
        await pause(lookEveryMs, undefined, { signal: closing }).catch(() => {})
        await this.#look()
      }
    }
    await this.#look()
    await Promise.all([look(), ...Array.from({ length: 12 }, till)])
    await this.#options.waybill[Symbol.asyncDispose]()
  }

  async #look(): Promise<void> {
    const { waybill, schema } = this.#options
    // A database that cannot be asked takes no orders either.
    const rows = await waybill
      .transaction((tx) => tx.query(behindText(schema)))
      .then(
        (result) => result.rows,
        () => [],
      )
    this.#isAhead = Number(rows[0]?.['n'] ?? 0) > mostBehind
  }

  async #visit(): Promise<void> {
    const { tracks, chance, history, waybill } = this.#options
    const track = tracks[Math.floor(chance() * tracks.length)]!
    const key = anyKey(track, chance)
    const manner = mannerOf(chance)
    const drafts: readonly Draft[] =
      manner === 'burst'
        ? Array.from({ length: burst }, () => ({ id: randomUUID(), isUndone: false }))
        : manner === 'changed'
          ? [true, false].map((isUndone) => ({ id: randomUUID(), isUndone }))
          : [{ id: randomUUID(), isUndone: false }]
    for (const { id } of drafts) history.note({ type: 'invoke', f: 'write', key, id })
    const note = (type: 'ok' | 'fail' | 'info', places: ReadonlyMap<string, Placed>): void => {
      for (const { id, isUndone } of drafts) {
        // Undone to a savepoint is undone whatever becomes of the rest.
        const end = isUndone ? 'fail' : type
        const placed = places.get(id)
        const rest = end === 'ok' && placed !== undefined ? placed : {}
        history.note({ type: end, f: 'write', key, id, ...rest })
      }
    }
    try {
      const places = await waybill.transaction((tx) => this.#place(tx, track, key, drafts, manner))
      note('ok', places)
    } catch (error) {
      if (error instanceof Regret) note('fail', new Map())
      // What was told as unknown is unknown (A5), and what failed has nothing stored (A4).
      else if (error instanceof CommitOutcomeUnknownError) note('info', new Map())
      else {
        note('fail', new Map())
        await pause(100)
      }
    }
  }

  async #place(
    tx: Client,
    track: Track,
    key: string,
    drafts: readonly Draft[],
    manner: Manner,
  ): Promise<ReadonlyMap<string, Placed>> {
    const { waybill, schema, canary, chance } = this.#options
    const places = new Map<string, Placed>()
    for (const { id, isUndone } of drafts) {
      if (isUndone) await tx.query('savepoint whim')
      const amount = 1 + Math.floor(chance() * 9)
      const { rows } = await tx.query(placeText(schema), [id, key, amount])
      const load = { key, seq: Number(rows[0]!['seq']), amount, canary }
      await waybill.publish(tx, track.channel, load, { id })
      if (isUndone) await tx.query('rollback to savepoint whim')
      places.set(id, { seq: load.seq, hash: hashOf(load) })
    }
    if (manner === 'long') await pause(longMs)
    if (manner === 'refused') throw new Regret()
    return places
  }
}

interface Placed {
  readonly seq: number
  readonly hash: string
}

function mannerOf(chance: Chance): Manner {
  const drawn = chance()
  if (drawn < 0.1) return 'refused'
  if (drawn < 0.15) return 'changed'
  if (drawn < 0.18) return 'long'
  return drawn < 0.22 ? 'burst' : 'kept'
}
