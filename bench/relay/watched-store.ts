import { withDeadline } from '../../src/kernel/deadline.ts'
import type { Outbox } from '../../src/ports/outbox.ts'
import type { StoreDefinition } from '../../src/ports/store.ts'

/** When so many rows were gone, in milliseconds since the first read that found any was asked. */
export interface Mark {
  readonly removed: number
  readonly atMs: number
}

export interface WatchedStore<Handle> {
  readonly definition: StoreDefinition<Handle>
  /**
   * Resolves when that many more rows have been deleted, with the time it took. The clock starts when the first read that finds
   * rows is asked, and stops when the last delete is acknowledged: what a relay does before it has work, and after it, is not
   * counted. `marks` are counts of rows to take the time of.
   */
  drained(rows: number, marks?: readonly number[]): Promise<Drained>
}

export interface Drained {
  readonly seconds: number
  /** Rows a second. */
  readonly rate: number
  readonly marks: readonly Mark[]
}

interface Watch {
  readonly rows: number
  readonly wanted: number[]
  readonly marks: Mark[]
  readonly resolve: (drained: Drained) => void
  startedAt: number | undefined
  removed: number
}

/** Whatever a bench drains is drained by then, on a slow machine too. */
const longestMs = 300_000

/** A store that tells when its outbox is drained; nothing of how it works is changed. */
export function watchedStore<Handle>(definition: StoreDefinition<Handle>): WatchedStore<Handle> {
  let watch: Watch | undefined
  return {
    definition: {
      ...definition,
      open(context) {
        const store = definition.open(context)
        return {
          ...store,
          openOutbox: async (lane) => watched(await store.openOutbox(lane), () => watch),
        }
      },
    },
    async drained(rows, marks = []) {
      const { promise, resolve } = Promise.withResolvers<Drained>()
      watch = {
        rows,
        resolve,
        wanted: marks.toSorted((a, b) => a - b),
        marks: [],
        startedAt: undefined,
        removed: 0,
      }
      return await withDeadline(promise, longestMs, 'the drain')
    },
  }
}

function watched(outbox: Outbox, current: () => Watch | undefined): Outbox {
  return {
    ...outbox,
    async read(request) {
      const askedAt = performance.now()
      const result = await outbox.read(request)
      noteStart(current(), result.rows.length, askedAt)
      return result
    },
    async readNews(request) {
      const askedAt = performance.now()
      const result = await outbox.readNews(request)
      noteStart(current(), result?.rows.length ?? 0, askedAt)
      return result
    },
    async remove(rows) {
      const result = await outbox.remove(rows)
      const watch = current()
      if (watch?.startedAt !== undefined) note(watch, result.removed, performance.now() - watch.startedAt)
      return result
    },
  }
}

function noteStart(watch: Watch | undefined, found: number, askedAt: number): void {
  if (watch !== undefined && watch.startedAt === undefined && found > 0) watch.startedAt = askedAt
}

function note(watch: Watch, removed: number, atMs: number): void {
  if (watch.removed >= watch.rows) return
  watch.removed += removed
  while (watch.wanted.length > 0 && watch.removed >= watch.wanted[0]!) {
    watch.wanted.shift()
    watch.marks.push({ removed: watch.removed, atMs })
  }
  if (watch.removed < watch.rows) return
  const seconds = atMs / 1000
  watch.resolve({ seconds, rate: watch.rows / seconds, marks: watch.marks })
}
