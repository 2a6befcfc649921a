import { backoffMs } from '../../kernel/retry.ts'
import type { OutboxRow, ReadRequest, ReadResult, Snapshot } from '../../ports/outbox.ts'
import type { MindCore } from './core.ts'
import { type Entry, keysOf, newChannel, noDoubt, type PartitionState } from './state.ts'
import type { Command } from './types.ts'
import type { Writing } from './writing.ts'

interface Asked {
  readonly read: number
  readonly partitions: readonly PartitionState[]
  readonly upperLimit: number
  readonly partitionBytes: number
  readonly isNews: boolean
  /** See `MindCore.revisions`. */
  readonly revisions: number
}

/**
 * Floors, the snapshot list and rewinds (PROTOCOLS 4). Reads are strictly one after another; each carries the snapshot of
 * the last one that was applied, and one that fails changes nothing.
 */
export class Reading {
  readonly #core: MindCore
  readonly #writing: Writing
  #last: Snapshot | null = null
  #server: string | null = null
  #asked: Asked | null = null
  #idleReads = 0
  #areNewsWanted = false
  /** `MindCore.revisions` in which everything up to `#last` has been read, and nothing was held by a line; -1 where that is not so. */
  #isUpToDateIn = -1

  constructor(core: MindCore, writing: Writing) {
    this.#core = core
    this.#writing = writing
  }

  /** Something has committed. */
  wake(): void {
    this.#idleReads = 0
    this.#areNewsWanted = true
    this.#core.isReadWanted = true
    this.#core.nextReadAt = 0
  }

  /**
   * Something was written that is not committed yet: the back-off starts anew, so that reads follow in quick steps which grow with the
   * time that the transaction takes. Also behind a read that is under way. `false`: that is so already.
   */
  hint(now: number): boolean {
    const core = this.#core
    const soon = now + core.options.poll.initialMs
    if (this.#idleReads === 0 && core.nextReadAt <= soon) return false
    this.#idleReads = 0
    core.nextReadAt = Math.min(core.nextReadAt, soon)
    return true
  }

  /** When the next read may be issued; Infinity while only an event can allow one. */
  nextAt(): number {
    if (this.#asked !== null || this.#core.room <= 0 || this.#readable().length === 0)
      return Number.POSITIVE_INFINITY
    let at = this.#core.nextReadAt
    for (const { heldUntil } of this.#core.channels.values())
      if (heldUntil !== null && heldUntil < at) at = heldUntil
    return at
  }

  issue(now: number): Command | null {
    const core = this.#core
    if (now < this.nextAt()) return null
    const held = this.#readable()
    const { room } = core
    const read = (core.lastRead += 1)
    this.#endHolds(read, now, held)
    this.#lowerFloors(read, held)
    core.isReadWanted = false
    const partitions = held.map(({ partition, floor, mark }) => ({ partition, floor, mark }))
    const channels = [...core.channels.values()].filter((c) => c.heldUntil === null).map((c) => c.name)
    const asked = { read, partitions: held, revisions: core.revisions }
    const last = this.#last
    const isUpToDate = this.#isUpToDateIn === core.revisions
    const areNewsWanted = this.#areNewsWanted
    this.#areNewsWanted = false
    this.#isUpToDateIn = -1
    if (areNewsWanted && isUpToDate && last !== null) {
      const limit = Math.min(core.options.readLimit, room)
      // Where these would be cut there is no answer.
      this.#asked = { ...asked, isNews: true, upperLimit: limit + 1, partitionBytes: Infinity }
      return {
        type: 'readNews',
        read,
        request: { partitions, last, limit, bytes: core.roomBytes, channels },
      }
    }
    const upperLimit = Math.min(core.options.readLimit, Math.max(1, Math.floor(room / held.length)))
    const partitionBytes = Math.floor(core.roomBytes / held.length)
    this.#asked = { ...asked, isNews: false, upperLimit, partitionBytes }
    return {
      type: 'read',
      read,
      request: {
        partitions,
        last,
        upperLimit,
        lookLimit: Math.max(1, Math.floor(core.options.lookLimit / held.length)),
        lateLimit: core.options.lateLimit,
        // Memory is shared with what has not failed (P7).
        retryLimit: Math.max(
          0,
          Math.min(core.options.readLimit, room, Math.ceil(core.options.maxInFlight / 2) - core.heldRetries),
        ),
        partitionBytes,
        channels,
        withoutRetries: this.#passedBy(read, held),
      },
    }
  }

  failed(read: number, now: number): void {
    if (this.#asked?.read !== read) return
    this.#asked = null
    this.#idleReads += 1
    this.#pause(now)
  }

  /** `null`: a whole read is to tell what is there. */
  returned(read: number, result: ReadResult | null, now: number): void {
    const core = this.#core
    const asked = this.#asked
    if (asked?.read !== read) return
    this.#asked = null
    if (result === null) {
      core.nextReadAt = now
      return
    }
    core.forgetSettled(read)
    if (result.inRecovery) {
      this.#idleReads += 1
      this.#pause(now)
      return
    }
    if (this.#isAnotherServer(result)) {
      this.#startOver(result)
      core.nextReadAt = now
      return
    }
    this.#server = result.server
    core.serverOffsetMs = result.serverTimeMs - now
    this.#openKeys(read)
    const found = this.#apply(asked, result)
    this.#last = result.snapshot
    // Retries and delays are no news: after those comes a whole read.
    const isComplete = !asked.isNews && !found
    if (isComplete && !result.hasLines) this.#isUpToDateIn = asked.revisions
    if (!isComplete || core.isReadWanted) {
      this.#idleReads = 0
      core.nextReadAt = now
    } else {
      this.#idleReads += 1
      this.#pause(now)
      // By the database's clock, and from the answer on: too late by a round trip at most, and never too early.
      if (result.nextDueInMs !== null)
        core.nextReadAt = Math.min(core.nextReadAt, now + Math.max(result.nextDueInMs, 1))
    }
  }

  /** Where the fence is not ready: what this read brings there of channels that go through it is passed by. */
  #passedBy(read: number, held: readonly PartitionState[]): ReadRequest['withoutRetries'] & object {
    const partitions = held.filter(({ fence }) => fence !== null && read < fence.acceptsFromRead)
    const channels = [...this.#core.channels.values()].filter(({ rules }) => rules.form === 'fence')
    return {
      partitions: partitions.map(({ partition }) => partition),
      channels: partitions.length === 0 ? [] : channels.map(({ name }) => name),
    }
  }

  #readable(): PartitionState[] {
    return [...this.#core.partitions.values()].filter((partition) => !partition.isDraining)
  }

  #pause(now: number): void {
    this.#core.nextReadAt =
      now + backoffMs(this.#idleReads, this.#core.options.poll, this.#core.options.random)
  }

  /** A hold that ends makes rows below the floors eligible again, wherever they are: read from 0. */
  #endHolds(read: number, now: number, held: readonly PartitionState[]): void {
    for (const channel of this.#core.channels.values()) {
      if (channel.heldUntil === null || channel.heldUntil > now) continue
      channel.heldUntil = null
      channel.acceptsFromRead = read
      for (const partition of held) partition.floor = 0n
      this.#core.revisions += 1
    }
  }

  #lowerFloors(read: number, held: readonly PartitionState[]): void {
    for (const partition of held) {
      const { rereadFrom } = partition
      if (rereadFrom !== null && rereadFrom <= partition.floor) partition.floor = rereadFrom - 1n
      partition.rereadFrom = null
    }
    for (const key of this.#core.reopening) {
      const { closed, partition } = key
      if (closed === null || partition.isDraining) continue
      closed.opensAtRead = read
      if (closed.rereads && closed.lowest <= partition.floor) partition.floor = closed.lowest - 1n
    }
  }

  /** Keys open before the rows of their read are looked at: that read was issued after the key's line was committed. */
  #openKeys(read: number): void {
    const core = this.#core
    for (const key of core.reopening) {
      if (key.closed?.opensAtRead !== read) continue
      key.closed = null
      core.reopening.delete(key)
      core.refresh(key)
    }
  }

  #isAnotherServer(result: ReadResult): boolean {
    if (this.#server === null) return false
    if (this.#server !== result.server) return true
    // After a promotion or a restore ids are given out again; the list of open ones would then lie.
    return this.#last !== null && result.snapshot.xmax < this.#last.xmax
  }

  /**
   * The rows in memory were read from a history that may have ended elsewhere. What waits is forgotten and read again from
   * floor 0; what was handed on stays known, so that it is not handed on twice.
   */
  #startOver(result: ReadResult): void {
    const core = this.#core
    core.counters.serverChanges += 1
    core.histories += 1
    this.#server = result.server
    this.#last = null
    core.serverOffsetMs = null
    for (const partition of core.partitions.values()) {
      core.reset(partition)
      if (partition.fence !== null) partition.fence.isOutdated = true
      // Not forgotten: what an operator makes eligible from here on is a rewind, for rows under way are passed by.
      partition.rewind = result.rewinds.get(partition.partition) ?? null
      for (const key of keysOf(partition)) {
        for (const entry of key.queue) core.drop(entry)
        key.queue = []
        // Lines that are being written keep their key closed; all else is read anew.
        if (key.closed !== null && key.closed.waitsFor === 'queue') core.reopen(key, true)
        core.refresh(key)
      }
    }
    for (const channel of core.channels.values()) core.dropLoose(channel)
  }

  #apply(asked: Asked, result: ReadResult): boolean {
    const core = this.#core
    const rowsOf = new Map<number, OutboxRow[]>()
    for (const row of result.rows) {
      const rows = rowsOf.get(row.partition)
      if (rows === undefined) rowsOf.set(row.partition, [row])
      else rows.push(row)
    }
    let found = false
    for (const partition of oldestFirst(asked.partitions, rowsOf)) {
      if (core.partitions.get(partition.partition) !== partition) continue
      const rows = rowsOf.get(partition.partition) ?? []
      const rewind = result.rewinds.get(partition.partition) ?? 0n
      const isRewound = partition.rewind !== null && partition.rewind !== rewind
      partition.rewind = rewind
      if (isRewound) {
        // Rows below the floor became eligible; of this read nothing of the partition may be used, or they are overtaken.
        core.counters.rewinds += 1
        core.reset(partition)
        found = true
      } else if (this.#applyRows(asked, partition, rows, result)) found = true
    }
    for (const orphan of result.orphans) {
      const partition = core.partitions.get(orphan.partition)
      if (partition !== undefined) this.#takeOrphan(partition, orphan)
    }
    return found
  }

  /** Whether it brought anything new: a due retry that is just being sent comes with every read and is not news. */
  #applyRows(
    { read, upperLimit, partitionBytes }: Asked,
    partition: PartitionState,
    rows: readonly OutboxRow[],
    { tops, unseen, marks }: ReadResult,
  ): boolean {
    const core = this.#core
    partition.mark = marks.get(partition.partition) ?? null
    const late = { rows: 0, bytes: 0 }
    const upper = { rows: 0, bytes: 0 }
    for (const { origin, payload } of rows) {
      if (origin !== 'late' && origin !== 'upper') continue
      const part = origin === 'late' ? late : upper
      part.rows += 1
      part.bytes += payload.byteLength
    }
    // More late rows may lie between these and the floor: what is above could overtake them.
    const isCut = late.rows >= core.options.lateLimit || late.bytes > partitionBytes
    const isWhole = upper.rows < upperLimit && upper.bytes <= partitionBytes
    const isUnseen = unseen.has(partition.partition)
    if (!isCut && isWhole && !isUnseen) partition.caughtUpAt = read
    // All that is eligible from the floor to the top is here. What is not will come by its line, by its mark or from floor 0, so the
    // floor passes it: or each read would walk over a million delayed rows again.
    const top = isWhole ? tops.get(partition.partition) : undefined
    let floor = partition.floor
    let found = isCut || isUnseen
    for (const row of rows) {
      if (row.origin === 'upper') {
        if (isCut) continue
        found = true
        if (row.seq > floor) floor = row.seq
      } else if (isCut && row.origin === 'late' && row.seq <= floor) floor = row.seq - 1n
      // The mark has moved past it: more may be behind it.
      else if (row.origin === 'delayed') found = true
      const entry = core.accept(row, partition, read)
      if (entry === null) continue
      found = true
      if (row.isParked) this.#writing.follows(entry)
    }
    partition.floor = !isCut && top !== undefined && top > floor ? top : floor
    return found
  }

  #takeOrphan(partition: PartitionState, orphan: ReadResult['orphans'][number]): void {
    const core = this.#core
    if (partition.isDraining || partition.entries.get(orphan) !== null) return
    const rules = { form: 'confirm', ordered: false, maxAttempts: 1, retry: core.options.poll } as const
    const channel = newChannel('', rules)
    const row = { ...orphan, channel: '', key: null, payload: new Uint8Array(), contentType: '', headers: {} }
    const entry: Entry = {
      row: {
        ...row,
        createdAt: new Date(0),
        dueAt: new Date(0),
        origin: 'retry',
        attempts: 0,
        isParked: false,
      },
      partition,
      channel,
      pool: channel.pool,
      key: null,
      bytes: 0,
      history: core.histories,
      state: 'removing',
      doubt: noDoubt,
      sameId: null,
    }
    partition.entries.add(entry)
    partition.busy += 1
    core.held += 1
    core.heldRetries += 1
    core.removals.push(entry)
  }
}

/**
 * By the first of its rows: what is read goes in this order, and each hold begins anew. In the order of their numbers the last partitions would
 * wait for as long as there are holds, and always something in the first ones (P7).
 */
function oldestFirst(
  partitions: readonly PartitionState[],
  rowsOf: ReadonlyMap<number, readonly OutboxRow[]>,
): readonly PartitionState[] {
  if (rowsOf.size < 2) return partitions
  const oldest = ({ partition }: PartitionState): bigint | undefined => rowsOf.get(partition)?.[0]?.seq
  return partitions.toSorted((a, b) => {
    const [one, other] = [oldest(a), oldest(b)]
    if (one === undefined || other === undefined)
      return Number(one === undefined) - Number(other === undefined)
    return one < other ? -1 : 1
  })
}
