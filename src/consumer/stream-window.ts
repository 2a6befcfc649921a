import type { Delivery, SettledPosition } from '../ports/transport.ts'
import type { StreamForm } from './stream-form.ts'
import { kindOf, type Turn, type WindowEntry } from './window-entry.ts'

/** How far a stream is done. */
export interface DonePosition extends SettledPosition {
  readonly form: StreamForm
}

interface Stream {
  readonly assignment: number
  readonly form: StreamForm
  /** In order of position. */
  readonly entries: WindowEntry[]
  last: bigint
  cautiousLeft: number
  /** Entries that are held. */
  held: number
  /** It will be taken away: nothing is added, and what nothing behind it has begun is not run any more. */
  isLeaving: boolean
}

/**
 * Which deliveries may run, and how far each stream may be settled. No I/O.
 *
 * A stream is settled up to its first unfinished delivery and never past it, so that a crash brings back everything from
 * there. A failed delivery holds its key only: later ones of other keys run meanwhile, and wait for settlement. A stream that
 * is settled first or has a checkpoint is one key as a whole: it is worked through in its own order, without a hole.
 */
export class StreamWindow {
  readonly #streams = new Map<string, Stream>()
  /** Revoked while running. Until they end, nothing else of their stream runs: it may be the same messages again. */
  readonly #orphans = new Map<string, Set<WindowEntry>>()
  readonly #revoked = new Map<string, number>()
  readonly #cautious: number
  readonly #formOf: (stream: string) => StreamForm
  #size = 0
  #lastWasRetry = false

  /**
   * @param cautious how many deliveries run alone after each assignment. One that kills its process is then counted before
   * it runs: if not after the first crash then after a later one, since each start settles so many of those before it (O6).
   */
  constructor(cautious: number, formOf: (stream: string) => StreamForm = () => 'after') {
    this.#cautious = cautious
    this.#formOf = formOf
  }

  /** Deliveries in memory, those that are done and not yet settled included. */
  get size(): number {
    return this.#size
  }

  /** How many turns could be taken side by side: fresh deliveries that have no key, and keys. */
  headsOf(isFull: (entry: WindowEntry) => boolean): number {
    let count = 0
    for (const [name, { entries }] of this.#streams) {
      if (this.#orphans.has(name)) continue
      const seen = new Set<string>()
      for (const entry of entries) {
        const { state, key } = entry
        if (state === 'done' || (key !== null && seen.has(key))) continue
        if (state === 'waiting' && !isFull(entry)) count += 1
        if (key !== null) seen.add(key)
      }
    }
    return count
  }

  add(deliveries: readonly Delivery[], keyOf: (delivery: Delivery) => string | null): void {
    for (const delivery of deliveries) {
      let stream = this.#streams.get(delivery.stream)
      if (stream !== undefined && stream.assignment !== delivery.assignment) {
        this.revoke([delivery.stream])
        stream = undefined
      }
      if (stream === undefined) {
        if (this.#revoked.get(delivery.stream) === delivery.assignment) continue
        const { assignment } = delivery
        const form = this.#formOf(delivery.stream)
        stream = {
          assignment,
          form,
          entries: [],
          last: -1n,
          cautiousLeft: this.#cautious,
          held: 0,
          isLeaving: false,
        }
        this.#streams.set(delivery.stream, stream)
      }
      if (delivery.position <= stream.last || stream.isLeaving) continue
      stream.last = delivery.position
      const isCautious = stream.cautiousLeft > 0
      if (isCautious) stream.cautiousLeft -= 1
      const { form } = stream
      const key = form === 'after' ? keyOf(delivery) : wholeStream
      stream.entries.push({ delivery, form, key, isCautious, state: 'waiting', dueAt: 0 })
      this.#size += 1
    }
  }

  /**
   * What may be done now, at most `most`. Retries and fresh deliveries take turns, so that neither starves the other (P7). A
   * turn of a stream that is one key holds nothing else. Several turns may be under way at once: none holds a key of another.
   */
  take(most: number, now: number, limits: TurnLimits = {}): Turn {
    const { found, useRetry } = this.#find(most, now, limits)
    this.#lastWasRetry = useRetry
    const entries = useRetry ? [found.retry!] : found.fresh
    if (useRetry) this.#streams.get(found.retry!.delivery.stream)!.held -= 1
    return this.#begin(useRetry ? kindOf(found.retry!, true) : (found.kind ?? 'batch'), entries)
  }

  /**
   * What `take` would give once everything is done that is running now, for a turn that runs only then; or is released. `undefined` where
   * that is nothing, or no batch of deliveries that are settled after they were handled: these have their turn at the right time.
   */
  takeBehind(most: number, now: number): Turn | undefined {
    const { found, useRetry } = this.#find(most, now, { isBehind: true })
    if (useRetry || found.kind !== 'batch' || found.fresh[0]?.form !== 'after') return undefined
    this.#lastWasRetry = false
    return this.#begin('batch', found.fresh)
  }

  #find(most: number, now: number, limits: FindLimits): { found: Found; useRetry: boolean } {
    const found: Found = { kind: undefined, fresh: [], heads: 0, retry: undefined }
    for (const [name, stream] of this.#streams) {
      if (this.#orphans.has(name)) continue
      const form = found.fresh[0]?.form ?? stream.form
      const hasRoom = found.fresh.length === 0 || (form === 'after' && stream.form === 'after')
      const limit = stream.form === 'first' ? Math.min(most, limits.mostSettled ?? most) : most
      this.#look(stream, { ...limits, most: hasRoom ? limit : 0, now }, found)
    }
    const useRetry = found.retry !== undefined && (!this.#lastWasRetry || found.fresh.length === 0)
    return { found, useRetry }
  }

  #begin(kind: Turn['kind'], entries: readonly WindowEntry[]): Turn {
    for (const entry of entries) entry.state = 'running'
    const first = entries[0]?.delivery.stream
    if (first !== undefined) this.#toTheEnd(first)
    return { kind, entries }
  }

  finish(entry: WindowEntry): void {
    this.#leave(entry, 'done')
  }

  /** It failed: its key waits until `dueAt`. */
  hold(entry: WindowEntry, dueAt: number): void {
    entry.dueAt = dueAt
    this.#leave(entry, 'held')
  }

  /** It was not run. */
  release(entry: WindowEntry): void {
    this.#leave(entry, 'waiting')
  }

  /** The broker took these streams: what they had is forgotten, what of them runs may end and counts for nothing. */
  revoke(streams: readonly string[]): void {
    for (const name of streams) {
      const stream = this.#streams.get(name)
      if (stream === undefined) continue
      this.#streams.delete(name)
      this.#revoked.set(name, stream.assignment)
      this.#size -= stream.entries.length
      for (const entry of stream.entries) {
        if (entry.state === 'running') this.#orphan(name, entry)
        entry.state = 'dropped'
      }
    }
  }

  /**
   * The broker will take these streams away: what has not begun is dropped, and comes again. What stands before something that has begun
   * may still run: that could not be settled without it.
   */
  recede(streams: readonly string[]): void {
    for (const name of streams) {
      const stream = this.#streams.get(name)
      if (stream === undefined) continue
      stream.isLeaving = true
      this.#trim(stream)
    }
  }

  /** Nothing of it runs, or can run before a held one is due, and everything that could be settled is. */
  isAtRest(name: string): boolean {
    const entries = this.#streams.get(name)?.entries ?? []
    if (entries[0]?.state === 'done') return false
    const held = new Set<string | null>()
    for (const { state, key } of entries) {
      if (state === 'running' || (state === 'waiting' && (key === null || !held.has(key)))) return false
      if (state === 'held') held.add(key)
    }
    return true
  }

  /** What it had under this assignment is forgotten; it may have another one meanwhile, which stays. */
  drop(name: string, assignment: number): void {
    if (this.#streams.get(name)?.assignment === assignment) this.revoke([name])
  }

  /** The membership is over: every stream will be assigned anew. */
  revokeAll(): void {
    this.revoke([...this.#streams.keys()])
  }

  /** The position of each stream up to which everything is done, where that is further than what was settled. */
  settleable(): DonePosition[] {
    const positions: DonePosition[] = []
    for (const [name, { assignment, form, entries }] of this.#streams) {
      let i = 0
      while (entries[i]?.state === 'done') i += 1
      if (i === 0) continue
      const { position } = entries[i - 1]!.delivery
      positions.push({ stream: name, position, assignment, form })
    }
    return positions
  }

  /** The broker has answered: these leave memory. Returns how many deliveries that were. */
  settled(positions: readonly SettledPosition[]): number {
    let count = 0
    for (const { stream: name, position, assignment } of positions) {
      const stream = this.#streams.get(name)
      if (stream === undefined || stream.assignment !== assignment) continue
      const kept = stream.entries.findIndex((entry) => entry.delivery.position > position)
      count += stream.entries.splice(0, kept === -1 ? Infinity : kept).length
    }
    this.#size -= count
    return count
  }

  /** When the next held delivery may be tried again; `Infinity` where none is held. */
  nextDueAt(): number {
    let next = Infinity
    for (const [name, { entries }] of this.#streams) {
      if (this.#orphans.has(name)) continue
      const closed = new Set<string>()
      for (const { state, key, dueAt } of entries) {
        if (state === 'done' || (key !== null && closed.has(key))) continue
        // One behind another of its key is due only after that one, whatever its own time says.
        if (state === 'held' && dueAt < next) next = dueAt
        if (key !== null) closed.add(key)
      }
    }
    return next
  }

  #look(stream: Stream, looking: Looking, found: Found): void {
    const { most, now, isFull, mostHeads = Infinity, isBehind = false } = looking
    const closed = new Set<string>()
    const opened = new Set<string>()
    for (const entry of stream.entries) {
      const { state, key } = entry
      if (state === 'done' || (key !== null && closed.has(key))) continue
      if (isBehind && state === 'running') continue
      // Nothing more is looked for: a full window is not walked through for each turn.
      if (stream.held === 0 && found.fresh.length >= most) return
      if (isFull?.(entry) === true) {
        // It may not run now, and neither may what is behind it in its key.
      } else if (state === 'waiting') {
        const kind = kindOf(entry, false)
        const isFollower = key !== null && opened.has(key)
        const hasRoom = found.fresh.length < most && (isFollower || found.heads < mostHeads)
        if (hasRoom && (found.kind ?? kind) === kind) {
          // Followers of its key may come into the same turn: that keeps their order.
          found.kind = kind
          if (!isFollower) found.heads += 1
          found.fresh.push(entry)
          if (key !== null) opened.add(key)
          continue
        }
      } else if (state === 'held' && entry.dueAt <= now && entry.dueAt < (found.retry?.dueAt ?? Infinity)) {
        // Not where one of its key waits before it: that happens when an earlier retry could not be run.
        if (key === null || !opened.has(key)) found.retry = entry
      }
      if (key !== null) closed.add(key)
    }
  }

  #trim(stream: Stream): void {
    const { entries } = stream
    const kept = entries.findLastIndex(({ state }) => state === 'running' || state === 'done') + 1
    for (const entry of entries.splice(kept)) {
      if (entry.state === 'held') stream.held -= 1
      entry.state = 'dropped'
      this.#size -= 1
    }
  }

  /** The stream a turn began with is looked at last the next time, so that a busy one does not starve the others. */
  #toTheEnd(name: string): void {
    const stream = this.#streams.get(name)!
    this.#streams.delete(name)
    this.#streams.set(name, stream)
  }

  #leave(entry: WindowEntry, state: 'done' | 'held' | 'waiting'): void {
    if (entry.state === 'running') {
      entry.state = state
      const stream = this.#streams.get(entry.delivery.stream)!
      if (state === 'held') stream.held += 1
      if (stream.isLeaving) this.#trim(stream)
    }
    if (entry.state !== 'dropped') return
    const name = entry.delivery.stream
    const orphans = this.#orphans.get(name)
    if (orphans?.delete(entry) === true && orphans.size === 0) this.#orphans.delete(name)
  }

  #orphan(name: string, entry: WindowEntry): void {
    const orphans = this.#orphans.get(name)
    if (orphans === undefined) this.#orphans.set(name, new Set([entry]))
    else orphans.add(entry)
  }
}

/** What a turn may not have although it could run. */
export interface TurnLimits {
  /** Deliveries of a stream that is settled first, at most. */
  readonly mostSettled?: number
  /** Of what {@link StreamWindow.headsOf} counts, at most; the rest is for others that are free. */
  readonly mostHeads?: number
  /** Whether as much of its kind runs already as may. */
  readonly isFull?: (entry: WindowEntry) => boolean
}

interface FindLimits extends TurnLimits {
  /** What is running closes no key. */
  readonly isBehind?: boolean
}

interface Looking extends FindLimits {
  readonly most: number
  readonly now: number
}

/** The key of every delivery of a stream that is kept in order as a whole. */
const wholeStream = '\0'

interface Found {
  kind: Turn['kind'] | undefined
  readonly fresh: WindowEntry[]
  heads: number
  retry: WindowEntry | undefined
}
