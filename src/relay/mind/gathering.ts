import type { MindCore } from './core.ts'
import {
  type ChannelState,
  type Entry,
  isRetry,
  keysOf,
  type KeyState,
  type Lot,
  lotOf,
  lotsOf,
  type PartitionState,
  type Pool,
} from './state.ts'
import type { Writing } from './writing.ts'

/** Doubts after which a row is sent without company. */
export const alone = 3

interface Batch {
  readonly entries: Entry[]
  limit: number
  bytesLeft: number
}

/** Which rows go into a send, and how they come back from one. A key has rows in at most one send at a time. */
export class Gathering {
  readonly #core: MindCore
  readonly #writing: Writing

  constructor(core: MindCore, writing: Writing) {
    this.#core = core
    this.#writing = writing
  }

  /**
   * The rows of the channel's next send, marked as sending; none where nothing may be sent now. What has expired meanwhile is
   * not sent but deleted. `may`: of which kind one more send may be under way, of messages that failed before or of others.
   */
  gather(
    channel: ChannelState,
    pool: Pool,
    now: number,
    may: Readonly<Record<Pool['turn'], boolean>>,
  ): Entry[] {
    const isProbing = channel.failures > 0
    // Another server has taken over and has not told its time: what came back from a send since may have expired.
    if (channel.rules.expiresAfterMs !== undefined && this.#core.serverOffsetMs === null) return []
    if (channel.heldUntil !== null || (isProbing && channel.underway > 0)) return []
    if (isProbing) return this.#probe(channel, pool, now)
    // In turns, so that many of one kind never keep the other waiting (P7).
    const other = pool.turn === 'fresh' ? 'again' : 'fresh'
    for (const turn of [pool.turn, other] as const) {
      if (!may[turn]) continue
      const entries = this.#fill(pool[turn], this.#batchFor(channel, this.#batchSize(channel)), now)
      if (entries.length === 0) continue
      pool.turn = turn === 'fresh' ? 'again' : 'fresh'
      return entries
    }
    return []
  }

  /** How often the row was in doubt with which a probe of this pool would be made. */
  leastDoubt(pool: Pool | undefined, now: number): number {
    const best = pool === undefined ? null : this.#leastDoubted(pool, now)
    return best?.doubt.times ?? Number.MAX_SAFE_INTEGER
  }

  fitsLease(partition: PartitionState, now: number): boolean {
    return partition.until - now >= this.#core.options.sendTimeoutMs
  }

  /**
   * Back to the head of their keys, in the order they had. Where their channel is held meanwhile they leave memory as its others have: what
   * fills it would let no read be made, and only a read ends the hold.
   */
  giveBack(entries: readonly Entry[]): void {
    const runs = new Map<KeyState, Entry[]>()
    const loose = new Map<Lot, Entry[]>()
    for (const entry of entries) {
      entry.state = 'waiting'
      entry.partition.busy -= 1
      if (entry.partition.isDraining || entry.channel.heldUntil !== null) {
        this.#core.drop(entry)
        continue
      }
      if (entry.key === null) collect(loose, lotOf(entry.pool, entry), entry)
      else collect(runs, entry.key, entry)
    }
    for (const [key, run] of runs) key.queue.unshift(...run)
    for (const [lot, back] of loose) lot.loose = [...back, ...lot.loose]
  }

  /** The send that carried these rows is over: their keys may be in the next one. */
  endOfKeys(entries: readonly Entry[]): void {
    for (const { key } of entries) {
      if (key === null || key.sending === 0) continue
      key.sending = 0
      if (key.partition.isHeld) this.#core.refresh(key)
    }
  }

  /** Everything that waits is forgotten; what is under way is left to end. */
  drain(partition: PartitionState): void {
    const core = this.#core
    for (const key of keysOf(partition)) {
      for (const entry of key.queue) core.drop(entry)
      key.queue = []
      core.unready(key)
      core.reopening.delete(key)
    }
    for (const entry of partition.entries.values()) if (entry.state === 'waiting') core.drop(entry)
  }

  #probe(channel: ChannelState, pool: Pool, now: number): Entry[] {
    this.#expire(channel, pool, now)
    const probe = this.#leastDoubted(pool, now)
    // A message that breaks its connection stands in front of the others after each hold: they are read first, or it would
    // be all that is ever tried.
    if (probe === null || (probe.doubt.times > 0 && !this.#core.hasLookedAround(channel))) return []
    const batch = this.#batchFor(channel, 1)
    if (probe.key === null) this.#takeLoose(lotOf(pool, probe), batch, now, probe)
    else this.#takeRun(probe.key, batch, now)
    return batch.entries
  }

  #batchFor({ rules }: ChannelState, limit: number): Batch {
    return { entries: [], limit, bytesLeft: rules.batchBytes ?? Infinity }
  }

  #fill(lot: Lot, batch: Batch, now: number): Entry[] {
    for (const key of lot.ready) {
      if (batch.entries.length >= batch.limit) break
      if (this.fitsLease(key.partition, now)) this.#takeRun(key, batch, now)
    }
    this.#takeLoose(lot, batch, now, null)
    return batch.entries
  }

  /** All that has expired, so that a probe is not made with it. */
  #expire({ rules }: ChannelState, pool: Pool, now: number): void {
    if (rules.expiresAfterMs === undefined) return
    for (const lot of lotsOf(pool)) {
      for (const key of lot.ready) this.#expireRun(key, now)
      lot.loose = lot.loose.filter((entry) => !this.#expireLoose(entry, now))
    }
  }

  /** The expired rows at the head of a key go first: nothing of it is sent until they have. */
  #expireRun(key: KeyState, now: number): boolean {
    let count = 0
    while (count < key.queue.length && this.#core.hasExpired(key.queue[count]!, now)) count += 1
    if (count === 0) return false
    for (const entry of key.queue.splice(0, count)) this.#writing.expired(entry)
    this.#setOut(key, count)
    return true
  }

  #expireLoose(entry: Entry, now: number): boolean {
    if (entry.state !== 'waiting' || !this.#core.hasExpired(entry, now)) return false
    this.#writing.expired(entry)
    return true
  }

  #takeRun(key: KeyState, batch: Batch, now: number): void {
    if (this.#expireRun(key, now)) return
    const most = this.#core.options.ordersBatch ? key.queue.length : 1
    let taken = 0
    while (
      taken < most &&
      this.#mayFollow(key.queue[taken]!, taken, now) &&
      this.#take(key.queue[taken]!, batch)
    )
      taken += 1
    if (taken === 0) return
    if (taken === key.queue.length) key.queue = []
    else key.queue.splice(0, taken)
    this.#setOut(key, taken)
  }

  /** Whether it goes in the send of those before it in its key. One that failed before goes alone, and what has expired not at all. */
  #mayFollow(entry: Entry, place: number, now: number): boolean {
    return place === 0 || (!isRetry(entry) && !this.#core.hasExpired(entry, now))
  }

  #setOut(key: KeyState, count: number): void {
    key.sending = count
    this.#core.unready(key)
    // The queue has run out: what was passed over can be read while this is under way.
    if (key.queue.length === 0 && key.closed?.waitsFor === 'queue') this.#core.reopen(key, true)
  }

  #takeLoose(lot: Lot, batch: Batch, now: number, only: Entry | null): void {
    const left: Entry[] = []
    let i = 0
    for (; i < lot.loose.length && batch.entries.length < batch.limit; i++) {
      const entry = lot.loose[i]!
      if (entry.state !== 'waiting' || this.#expireLoose(entry, now)) continue
      const isWanted = (only === null || only === entry) && this.fitsLease(entry.partition, now)
      if (!isWanted || !this.#take(entry, batch)) left.push(entry)
    }
    if (i > 0) lot.loose = [...left, ...lot.loose.slice(i)]
  }

  #take(entry: Entry, batch: Batch): boolean {
    const limit = Math.min(batch.limit, this.#sizeFor(entry))
    if (batch.entries.length > 0 && (batch.entries.length >= limit || entry.bytes > batch.bytesLeft))
      return false
    batch.limit = limit
    batch.bytesLeft -= entry.bytes
    batch.entries.push(entry)
    entry.state = 'sending'
    entry.partition.busy += 1
    return true
  }

  #batchSize({ rules }: ChannelState): number {
    return rules.batchSize ?? this.#core.options.batchSize
  }

  /** The more often a row's fate was unknown, the smaller its company, down to none. */
  #sizeFor(entry: Entry): number {
    if (isRetry(entry) || entry.doubt.times >= alone) return 1
    return Math.max(1, Math.floor(this.#batchSize(entry.channel) / 8 ** entry.doubt.times))
  }

  /** A probe with the row that broke the connection last time would never find the destination well again. */
  #leastDoubted(pool: Pool, now: number): Entry | null {
    let best: Entry | null = null
    const look = (entry: Entry | undefined): void => {
      if (entry?.state !== 'waiting' || !this.fitsLease(entry.partition, now)) return
      if (best === null || entry.doubt.times < best.doubt.times) best = entry
    }
    for (const lot of lotsOf(pool)) {
      for (const key of lot.ready) look(key.queue[0])
      for (const entry of lot.loose) look(entry)
    }
    return best
  }
}

function collect<Key>(lists: Map<Key, Entry[]>, key: Key, entry: Entry): void {
  const list = lists.get(key)
  if (list === undefined) lists.set(key, [entry])
  else list.push(entry)
}
