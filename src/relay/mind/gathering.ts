import type { MindCore } from './core.ts'
import type { ChannelState, Entry, KeyState, PartitionState, Pool } from './state.ts'

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

  constructor(core: MindCore) {
    this.#core = core
  }

  /** The rows of the channel's next send, marked as sending; none where nothing may be sent now. */
  gather(channel: ChannelState, pool: Pool, now: number): Entry[] {
    const isProbing = channel.failures > 0
    if (channel.heldUntil !== null || (isProbing && channel.underway > 0)) return []
    const bytesLeft = channel.rules.batchBytes ?? Infinity
    const batch: Batch = { entries: [], limit: isProbing ? 1 : this.#batchSize(channel), bytesLeft }
    if (isProbing) {
      const probe = this.#leastDoubted(pool, now)
      // A message that breaks its connection stands in front of the others after each hold: they are read first, or it would
      // be all that is ever tried.
      if (probe === null || (probe.doubt.times > 0 && !this.#core.hasLookedAround(channel))) return []
      if (probe.key === null) this.#takeLoose(pool, batch, now, probe)
      else this.#takeRun(probe.key, batch)
      return batch.entries
    }
    for (const key of pool.ready) {
      if (batch.entries.length >= batch.limit) break
      if (this.fitsLease(key.partition, now)) this.#takeRun(key, batch)
    }
    this.#takeLoose(pool, batch, now, null)
    return batch.entries
  }

  /** How often the row was in doubt with which a probe of this pool would be made. */
  leastDoubt(pool: Pool | undefined, now: number): number {
    const best = pool === undefined ? null : this.#leastDoubted(pool, now)
    return best?.doubt.times ?? Number.MAX_SAFE_INTEGER
  }

  fitsLease(partition: PartitionState, now: number): boolean {
    return partition.until - now >= this.#core.options.sendTimeoutMs
  }

  /** Back to the head of their keys, in the order they had. */
  giveBack(entries: readonly Entry[]): void {
    const runs = new Map<KeyState, Entry[]>()
    const loose = new Map<Pool, Entry[]>()
    for (const entry of entries) {
      entry.state = 'waiting'
      entry.partition.busy -= 1
      if (entry.partition.isDraining) {
        this.#core.drop(entry)
        continue
      }
      if (entry.key === null) collect(loose, entry.pool, entry)
      else collect(runs, entry.key, entry)
    }
    for (const [key, run] of runs) key.queue.unshift(...run)
    for (const [pool, back] of loose) pool.loose = [...back, ...pool.loose]
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
    for (const key of partition.keys.values()) {
      for (const entry of key.queue) core.drop(entry)
      key.queue = []
      key.pool.ready.delete(key)
      core.reopening.delete(key)
    }
    for (const entry of partition.entries.values()) if (entry.state === 'waiting') core.drop(entry)
  }

  #takeRun(key: KeyState, batch: Batch): void {
    const most = this.#core.options.ordersBatch ? key.queue.length : 1
    let taken = 0
    while (taken < most && this.#take(key.queue[taken]!, batch)) taken += 1
    if (taken === 0) return
    key.queue.splice(0, taken)
    key.sending = taken
    key.pool.ready.delete(key)
    // The queue has run out: what was passed over can be read while this is under way.
    if (key.queue.length === 0 && key.closed?.waitsFor === 'queue') this.#core.reopen(key, true)
  }

  #takeLoose(pool: Pool, batch: Batch, now: number, only: Entry | null): void {
    const left: Entry[] = []
    let i = 0
    for (; i < pool.loose.length && batch.entries.length < batch.limit; i++) {
      const entry = pool.loose[i]!
      if (entry.state !== 'waiting') continue
      const isWanted = (only === null || only === entry) && this.fitsLease(entry.partition, now)
      if (!isWanted || !this.#take(entry, batch)) left.push(entry)
    }
    if (i > 0) pool.loose = [...left, ...pool.loose.slice(i)]
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
    if (entry.row.attempts > 0 || entry.doubt.times >= alone) return 1
    return Math.max(1, Math.floor(this.#batchSize(entry.channel) / 8 ** entry.doubt.times))
  }

  /** A probe with the row that broke the connection last time would never find the destination well again. */
  #leastDoubted(pool: Pool, now: number): Entry | null {
    let best: Entry | null = null
    const look = (entry: Entry | undefined): void => {
      if (entry?.state !== 'waiting' || !this.fitsLease(entry.partition, now)) return
      if (best === null || entry.doubt.times < best.doubt.times) best = entry
    }
    for (const key of pool.ready) look(key.queue[0])
    for (const entry of pool.loose) look(entry)
    return best
  }
}

function collect<Key>(lists: Map<Key, Entry[]>, key: Key, entry: Entry): void {
  const list = lists.get(key)
  if (list === undefined) lists.set(key, [entry])
  else list.push(entry)
}
