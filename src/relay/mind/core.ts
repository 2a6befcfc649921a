import type { LeasedPartition } from '../../ports/lane.ts'
import type { OutboxRow } from '../../ports/outbox.ts'
import { Doubts } from './doubts.ts'
import { newFence } from './fence.ts'
import {
  type ChannelState,
  type Closed,
  type Entry,
  keysOf,
  type KeyState,
  newChannel,
  newPartition,
  isRetry,
  lotOf,
  lotsOf,
  newPool,
  type PartitionState,
  type Pool,
} from './state.ts'
import type { MindCounters, MindOptions } from './types.ts'

/** What the mind remembers, and the few moves that every part of it uses. */
export class MindCore {
  readonly options: MindOptions
  readonly partitions: Map<number, PartitionState> = new Map()
  readonly channels: Map<string, ChannelState> = new Map()
  /** Closed keys whose next step is a read. */
  readonly reopening: Set<KeyState> = new Set()
  /** Confirmed rows whose delete has not been asked for yet. They outlive the lease: deleting them is always right. */
  removals: Entry[] = []
  /** Partitions that another relay turned out to hold; to be told. */
  readonly fenced: LeasedPartition[] = []
  readonly counters: MindCounters = {
    sent: 0,
    confirmed: 0,
    rejected: 0,
    unknown: 0,
    buried: 0,
    blocked: 0,
    followers: 0,
    expired: 0,
    taken: 0,
    lost: 0,
    lateRows: 0,
    lateConfirms: 0,
    rewinds: 0,
    serverChanges: 0,
    disorder: 0,
  }
  /** Rows in memory that are not settled. */
  held = 0
  heldBytes = 0
  /** Of those in memory, the ones that failed before. */
  heldRetries = 0
  /** Of rows read lately, so that a read does not ask for more than the memory left can hold. */
  averageBytes = 1000
  /** Number of the read issued last. */
  lastRead = 0
  nextReadAt = 0
  /** Sticky: asked for while a read is under way, one more follows it. */
  isReadWanted = false
  /**
   * Counts what can bring rows that are no news: a partition that is new here, or one that is read anew, in part or from its start.
   * Only a whole read finds them.
   */
  revisions = 0
  /** What to add to the time of `decide` for the database's own; `null` before it was told. */
  serverOffsetMs: number | null = null
  /** Histories of the database seen so far. What was read in an older one may come again in this one. */
  histories = 0
  readonly #isFencing: boolean
  /** By the read that was issued last when they were. */
  readonly #settled: { readonly read: number; readonly entries: Entry[] }[] = []
  readonly #doubts: Doubts

  constructor(options: MindOptions) {
    this.options = options
    this.#doubts = new Doubts(options.maxInFlight)
    this.#isFencing = [...options.channels.values()].some(({ form }) => form === 'fence')
    for (const [name, rules] of options.channels) this.channels.set(name, newChannel(name, rules))
  }

  gain(partition: number, epoch: bigint, until: number): void {
    const known = this.partitions.get(partition)
    if (known !== undefined) this.lose(known)
    this.partitions.set(partition, newPartition(partition, epoch, until, this.#isFencing ? newFence() : null))
    this.wantRead()
  }

  /** Forgets a partition: its in-flight state belongs to (partition, epoch) and dies with it. */
  lose(partition: PartitionState): void {
    partition.isHeld = false
    for (const key of keysOf(partition)) this.forgetKey(key)
    for (const entry of partition.entries.values()) if (entry.state !== 'settled') this.#release(entry)
    partition.entries.clear()
    this.partitions.delete(partition.partition)
  }

  /** Rows that memory still has room for. */
  get room(): number {
    const { options, held, averageBytes } = this
    // One row always fits, or a message larger than the limit would stop the lane for ever.
    return Math.max(
      Math.min(options.maxInFlight - held, Math.floor(this.roomBytes / averageBytes)),
      held === 0 ? 1 : 0,
    )
  }

  /** The same in bytes. */
  get roomBytes(): number {
    return Math.max(this.options.maxInFlightBytes - this.heldBytes, 0)
  }

  /**
   * Whether what lies behind the rows in memory has been looked at since the channel's hold. Where other channels keep the
   * reads busy this ends all the same, later after each failure.
   */
  hasLookedAround(channel: ChannelState): boolean {
    const { acceptsFromRead, failures } = channel
    if (this.room <= 0 || this.lastRead - acceptsFromRead >= 2 ** Math.min(failures, 10)) return true
    for (const each of this.partitions.values()) {
      // What reads brought before the fence was ready was passed by.
      const fencedFrom = channel.rules.form === 'fence' ? each.fence!.acceptsFromRead : 0
      if (each.isDraining || fencedFrom === Number.POSITIVE_INFINITY) continue
      if (each.caughtUpAt < Math.max(acceptsFromRead, fencedFrom)) return false
    }
    return true
  }

  /**
   * Takes a row into memory, unless it is there already, its key is closed, or its channel awaits a newer read. One of a parked
   * key is not queued: what is returned is to be moved.
   */
  accept(row: OutboxRow, partition: PartitionState, read: number): Entry | null {
    const channel = this.channels.get(row.channel)
    if (channel === undefined || partition.isDraining) return null
    if (read < channel.acceptsFromRead || partition.entries.get(row) !== null) return null
    if (channel.rules.form === 'fence' && read < partition.fence!.acceptsFromRead) return null
    const pool = this.#poolOf(channel, partition)
    const key =
      channel.rules.ordered && row.key !== null ? this.#keyOf(partition, channel, pool, row.key) : null
    if (key !== null && !(row.isParked ? this.#mayMove(key, row) : this.#mayQueue(key, row))) return null
    const bytes = row.payload.byteLength + 200
    const entry: Entry = {
      row,
      partition,
      channel,
      pool,
      key,
      bytes,
      history: this.histories,
      state: 'waiting',
      doubt: this.#doubts.of(row),
      sameId: null,
    }
    partition.entries.add(entry)
    this.held += 1
    this.heldBytes += bytes
    this.averageBytes += (bytes - this.averageBytes) / 64
    if (isRetry(entry)) this.heldRetries += 1
    if (row.origin === 'late') this.counters.lateRows += 1
    if (row.isParked) return entry
    if (key === null) lotOf(pool, entry).loose.push(entry)
    else this.#enqueue(key, entry)
    return entry
  }

  /** Whether its channel allows it no more to be sent. Reckoned from the end of a read: never before its time. */
  hasExpired({ row, channel }: Entry, now: number): boolean {
    const { expiresAfterMs } = channel.rules
    if (expiresAfterMs === undefined || this.serverOffsetMs === null) return false
    return now + this.serverOffsetMs - row.dueAt.getTime() > expiresAfterMs
  }

  /** At once, and once more after a read that is under way: that one may have been evaluated before. */
  wantRead(): void {
    this.revisions += 1
    this.isReadWanted = true
    this.nextReadAt = 0
  }

  /** Closes a key, or keeps it closed for a stronger reason. */
  close(key: KeyState, lowest: bigint, waitsFor: Closed['waitsFor']): void {
    const rereads = waitsFor !== 'moves'
    const closed = (key.closed ??= { lowest, waitsFor, rereads, opensAtRead: null })
    if (lowest < closed.lowest) closed.lowest = lowest
    closed.waitsFor = waitsFor
    closed.opensAtRead = null
    this.reopening.delete(key)
  }

  /** The next read opens the key; where no line covers it, that read starts below what was dropped. */
  reopen(key: KeyState, rereads: boolean): void {
    // A partition that is given up is not read any more: its successor reads all of it.
    if (key.closed === null || key.partition.isDraining) return
    key.closed.waitsFor = 'read'
    key.closed.rereads = rereads
    key.closed.opensAtRead = null
    this.reopening.add(key)
    this.wantRead()
  }

  /** All of a partition is eligible again: the next read starts from 0. */
  reset(partition: PartitionState): void {
    partition.floor = 0n
    partition.resets += 1
    this.revisions += 1
  }

  /** A row without a key to close may have been passed by: the next read starts below it. */
  reread(partition: PartitionState, seq: bigint): void {
    if (partition.rereadFrom === null || seq < partition.rereadFrom) partition.rereadFrom = seq
    this.wantRead()
  }

  /** Forgets a waiting row without having delivered it. The caller sees to it that it is read again. */
  drop(entry: Entry): void {
    if (entry.doubt.times > 0) this.#doubts.remember(entry.row, entry.doubt)
    entry.partition.entries.delete(entry)
    this.#release(entry)
  }

  /** Forgets all rows without order of a channel that wait. */
  dropLoose(channel: ChannelState): void {
    this.dropLooseOf(channel.pool)
    for (const partition of this.partitions.values()) {
      const pool = partition.pools.get(channel)
      if (pool !== undefined) this.dropLooseOf(pool)
    }
  }

  dropLooseOf(pool: Pool): void {
    for (const lot of lotsOf(pool)) {
      for (const entry of lot.loose) if (entry.state === 'waiting') this.drop(entry)
      lot.loose = []
    }
  }

  /** The database refused an effect of ours: another relay holds the partition. */
  refused(partition: PartitionState): void {
    if (!partition.isHeld) return
    this.fenced.push({ partition: partition.partition, epoch: partition.epoch })
    this.lose(partition)
  }

  /** A row is done with; it stays known until a read issued from now on has returned. */
  settle(entry: Entry): void {
    if (!entry.partition.isHeld) return
    this.#uncount(entry)
    entry.partition.busy -= 1
    entry.state = 'settled'
    const last = this.#settled.at(-1)
    if (last?.read === this.lastRead) last.entries.push(entry)
    else this.#settled.push({ read: this.lastRead, entries: [entry] })
    this.#doubts.forget(entry.row)
  }

  /** A read has returned: rows settled before it was issued cannot come back by mistake any more. */
  forgetSettled(read: number): void {
    let count = 0
    for (const { read: before, entries } of this.#settled) {
      if (before >= read) break
      for (const entry of entries) entry.partition.entries.delete(entry)
      count += 1
    }
    if (count > 0) this.#settled.splice(0, count)
  }

  /** Makes a key ready for sending where it has rows and none under way; forgets it where nothing is left to say of it. */
  refresh(key: KeyState): void {
    if (key.sending > 0) return
    if (key.queue.length > 0) this.#makeReady(key)
    else {
      this.unready(key)
      if (key.closed === null) this.#deleteKey(key)
      else if (key.closed.waitsFor === 'queue') this.reopen(key, true)
    }
  }

  unready(key: KeyState): void {
    const { fresh, again } = key.pool
    fresh.ready.delete(key)
    again.ready.delete(key)
  }

  forgetKey(key: KeyState): void {
    this.unready(key)
    this.reopening.delete(key)
    this.#deleteKey(key)
  }

  #poolOf(channel: ChannelState, partition: PartitionState): Pool {
    if (channel.rules.form !== 'fence') return channel.pool
    let pool = partition.pools.get(channel)
    if (pool === undefined) {
      pool = newPool()
      partition.pools.set(channel, pool)
    }
    return pool
  }

  /** Where its head belongs; where it stands there already it keeps its place. */
  #makeReady(key: KeyState): void {
    const { fresh, again } = key.pool
    const lot = lotOf(key.pool, key.queue[0]!)
    const other = lot === fresh ? again : fresh
    other.ready.delete(key)
    lot.ready.add(key)
  }

  #release(entry: Entry): void {
    this.#uncount(entry)
    entry.state = 'dropped'
  }

  #uncount(entry: Entry): void {
    this.held -= 1
    this.heldBytes -= entry.bytes
    if (isRetry(entry)) this.heldRetries -= 1
  }

  #keyOf(partition: PartitionState, channel: ChannelState, pool: Pool, name: string): KeyState {
    let keys = partition.keys.get(channel)
    if (keys === undefined) partition.keys.set(channel, (keys = new Map<string, KeyState>()))
    let key = keys.get(name)
    if (key === undefined) {
      key = { name, partition, channel, pool, queue: [], sending: 0, moving: 0, closed: null }
      keys.set(name, key)
    }
    return key
  }

  #deleteKey({ partition, channel, name }: KeyState): void {
    partition.keys.get(channel)?.delete(name)
  }

  #mayQueue(key: KeyState, row: OutboxRow): boolean {
    if (key.closed !== null) {
      // A due retry is covered by its own line: it comes again with the next read, so nothing has to be remembered.
      if (row.origin !== 'retry') this.#passBy(key.closed, row)
      return false
    }
    if (key.queue.length < this.options.maxKeyBacklog) return true
    this.close(key, row.seq, 'queue')
    return false
  }

  /** Whether a follower may be moved now. Where the key has other rows in memory, as after a fail-over, they are read anew first. */
  #mayMove(key: KeyState, row: OutboxRow): boolean {
    if (key.closed?.waitsFor === 'moves') return true
    if (key.closed !== null) {
      this.#passBy(key.closed, row)
      // No line of its own covers it, and what parks the key brings it to nobody again.
      key.closed.rereads = true
      return false
    }
    if (key.queue.length === 0 && key.sending === 0) {
      this.close(key, row.seq, 'moves')
      return true
    }
    let lowest = row.seq
    for (const entry of key.queue) {
      if (entry.row.seq < lowest) lowest = entry.row.seq
      this.drop(entry)
    }
    key.queue = []
    this.close(key, lowest, 'queue')
    this.refresh(key)
    return false
  }

  #passBy(closed: Closed, row: OutboxRow): void {
    if (row.seq < closed.lowest) closed.lowest = row.seq
    // What comes unmarked while followers are moved: the key is parked no more, or this is another history.
    if (closed.waitsFor === 'moves') closed.rereads = true
  }

  #enqueue(key: KeyState, entry: Entry): void {
    const queue = key.queue
    let at = queue.length
    while (at > 0 && queue[at - 1]!.row.seq > entry.row.seq) at -= 1
    // The usual one, alone of its key: an array that grows by a push has room for many.
    if (queue.length === 0) key.queue = [entry]
    else if (at === queue.length) queue.push(entry)
    else {
      this.counters.disorder += 1
      queue.splice(at, 0, entry)
    }
    if (key.sending === 0) this.#makeReady(key)
  }
}
