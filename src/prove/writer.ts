import { setTimeout as pause } from 'node:timers/promises'
import type { Waybill } from '../index.ts'
import { isWaybillError } from '../kernel/errors.ts'
import type { Chance } from '../testing/chance.ts'
import type { HistoryRecorder } from '../testing/history.ts'
import type { Client } from '../demo/database.ts'

/** A message that is about to be written. */
export interface Draft {
  readonly id: string
  /** Its key, as each track that judges it names it. */
  readonly keys: readonly string[]
  /** Writes its business row and publishes it. */
  place(tx: Client): Promise<Placed>
}

export interface Placed {
  readonly seq: number
  /** Of what it says, where that is compared. */
  readonly hash?: string
}

export interface WriterOptions {
  readonly waybill: Waybill<Client>
  /** So many messages for one transaction, of one key where they are several. */
  readonly draw: (count: number) => Promise<readonly Draft[]>
  /** Told of a draw that was refused. The next one is another. */
  readonly onRefused: (error: unknown) => void
  /** Whether nothing may be placed until consumers have caught up. */
  readonly isFarBehind: (tx: Client) => Promise<boolean>
  readonly chance: Chance
  readonly history: HistoryRecorder
}

/**
 * `kept`: one message · `burst`: many of one key · `long`: stays open for a while, so that others commit before it · `refused`: an error
 * after everything was written · `changed`: one undone to a savepoint, and another kept.
 */
type Manner = 'kept' | 'burst' | 'long' | 'refused' | 'changed'

const lookEveryMs = 250

const counts: Readonly<Record<Manner, number>> = { kept: 1, burst: 12, long: 1, refused: 1, changed: 2 }
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
    const { waybill, isFarBehind } = this.#options
    // A database that cannot be asked takes no orders either.
    this.#isAhead = await waybill.transaction(isFarBehind).catch(() => false)
  }

  async #visit(): Promise<void> {
    const { chance, history, waybill } = this.#options
    const manner = mannerOf(chance)
    const drafts = await this.#draw(counts[manner])
    if (drafts.length === 0) return
    const undone = manner === 'changed' ? drafts[0] : undefined
    const note = (type: 'ok' | 'fail' | 'info', places: ReadonlyMap<Draft, Placed>): void => {
      for (const draft of drafts) {
        // Undone to a savepoint is undone whatever becomes of the rest.
        const end = draft === undone ? 'fail' : type
        const placed = places.get(draft)
        const rest = end === 'ok' && placed !== undefined ? placed : {}
        for (const key of draft.keys) history.note({ type: end, f: 'write', key, id: draft.id, ...rest })
      }
    }
    try {
      const places = await waybill.transaction((tx) => this.#place(tx, drafts, undone, manner))
      note('ok', places)
    } catch (error) {
      if (error instanceof Regret) note('fail', new Map())
      // What was told as unknown is unknown (A5), and what failed has nothing stored (A4). By its code: the user's configuration may have
      // loaded another copy of the package, whose classes are others.
      else if (isWaybillError(error) && error.code === 'WB_COMMIT_OUTCOME_UNKNOWN') note('info', new Map())
      else {
        note('fail', new Map())
        await pause(100)
      }
    }
  }

  /** None where they were refused: that ends no writer, or whoever is to judge would have nothing to look at. */
  async #draw(count: number): Promise<readonly Draft[]> {
    const { draw, onRefused } = this.#options
    try {
      return await draw(count)
    } catch (error) {
      onRefused(error)
      await pause(100)
      return []
    }
  }

  async #place(
    tx: Client,
    drafts: readonly Draft[],
    undone: Draft | undefined,
    manner: Manner,
  ): Promise<ReadonlyMap<Draft, Placed>> {
    const { history } = this.#options
    // Only now: a message that waited for a connection was not under way.
    for (const { id, keys } of drafts)
      for (const key of keys) history.note({ type: 'invoke', f: 'write', key, id })
    const places = new Map<Draft, Placed>()
    for (const draft of drafts) {
      if (draft === undone) await tx.query('savepoint whim')
      places.set(draft, await draft.place(tx))
      if (draft === undone) await tx.query('rollback to savepoint whim')
    }
    if (manner === 'long') await pause(longMs)
    if (manner === 'refused') throw new Regret()
    return places
  }
}

function mannerOf(chance: Chance): Manner {
  const drawn = chance()
  if (drawn < 0.1) return 'refused'
  if (drawn < 0.15) return 'changed'
  if (drawn < 0.18) return 'long'
  return drawn < 0.22 ? 'burst' : 'kept'
}
