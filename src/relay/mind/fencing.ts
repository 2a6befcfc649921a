import { backoffMs } from '../../kernel/retry.ts'
import type { LeasedPartition } from '../../ports/lane.ts'
import type { FencedState } from '../../ports/outbox.ts'
import type { FencedOutcome, TakenOver } from '../../ports/transport.ts'
import type { MindCore } from './core.ts'
import { compare, type Fence } from './fence.ts'
import { FencedRows } from './fenced-rows.ts'
import type { Gathering } from './gathering.ts'
import { hold } from './holding.ts'
import { type ChannelState, isRetry, type PartitionState } from './state.ts'
import type { Command, StoppedFencing } from './types.ts'
import { codeOf, troubles, type Verdicts } from './verdicts.ts'

/**
 * Each opens connections of its own and has a time-out: all partitions of a relay at once, on a busy machine, are all too late, and
 * begin anew together.
 */
const takeOversAtOnce = 4

/**
 * What was not done in its time begins anew: a broker that is slow, and no more than that, would never be done. So the next attempt has
 * twice the time, up to eight times that of a send. That may be longer than its lease: what is lost meanwhile is called off, see `release`.
 */
const mostDoublings = 3

/** A partition whose lease is held, and its fence. */
interface Fenced {
  readonly partition: PartitionState
  readonly fence: Fence
}

/**
 * Exactly once into the broker: one transaction of one partition at a time, with a note of its rows and its number. The next one
 * begins only when the rows of the last are deleted, so that a note is never more than one transaction ahead of the store; and of
 * a partition gained, or one whose commit was not answered, nothing is read before the broker's last note has been settled with
 * the store.
 */
export class Fencing {
  readonly #core: MindCore
  readonly #gathering: Gathering
  readonly #verdicts: Verdicts
  readonly #rows: FencedRows
  readonly #calls = new Map<number, Fenced>()
  /** Of these, those that take over, and whether that was called off. */
  readonly #takeOvers = new Map<number, boolean>()
  /** Partitions with a call under way at the broker, held or not: there is one at a time. */
  readonly #atBroker = new Set<number>()
  /** Partitions whose writer we have become and have not released. */
  readonly #taken = new Set<number>()
  #news: Command[] = []
  #lastCall = 0
  #publishing = 0
  #turn = 0

  constructor(core: MindCore, gathering: Gathering, verdicts: Verdicts) {
    this.#core = core
    this.#gathering = gathering
    this.#verdicts = verdicts
    this.#rows = new FencedRows(core, gathering)
  }

  /** Transactions under way. */
  get underway(): number {
    return this.#publishing
  }

  /** Of these, those of a message that failed before. */
  get retriesUnderway(): number {
    let count = 0
    for (const { fence } of this.#calls.values())
      if (fence.stage === 'publish' && isRetry(fence.batch!.entries[0]!)) count += 1
    return count
  }

  get isIdle(): boolean {
    return this.#calls.size === 0
  }

  get stopped(): StoppedFencing[] {
    return [...this.#held()]
      .filter(({ fence }) => fence.stage === 'stopped')
      .map(({ partition: { partition }, fence: { reason } }) => ({ partition, reason }))
  }

  issue(now: number): Command[] {
    const commands = this.#news
    this.#news = []
    for (const { partition, fence } of this.#held()) {
      if (fence.call !== null) continue
      if (fence.isOutdated && fence.stage !== 'lost') this.#restart({ partition, fence })
      if (now < fence.tryAt) continue
      fence.tryAt = 0
      const command = this.#step({ partition, fence }, now)
      if (command !== null) commands.push(command)
    }
    return commands
  }

  /**
   * What is not held any more, once nothing is written by it at the broker. A take-over is called off at once: it would fence the new
   * owner, and where that is this relay itself it would be waited for.
   */
  release(): Command[] {
    const released = new Set<number>()
    for (const number of this.#taken)
      if (!this.#core.partitions.has(number) && !this.#atBroker.has(number)) released.add(number)
    for (const [call, isOff] of this.#takeOvers) {
      const { partition } = this.#calls.get(call)!
      if (isOff || partition.isHeld) continue
      this.#takeOvers.set(call, true)
      released.add(partition.partition)
    }
    for (const number of released) this.#taken.delete(number)
    return released.size === 0 ? [] : [{ type: 'releaseFenced', partitions: [...released] }]
  }

  nextTry(): number {
    let at = Infinity
    for (const { fence } of this.#held())
      if (fence.call === null && fence.tryAt > 0 && fence.tryAt < at) at = fence.tryAt
    return at
  }

  /** The next transaction of a channel, if a partition is free for it. */
  next(channel: ChannelState, now: number, mayRetry: boolean): Command | null {
    const held = [...this.#held()]
    // Each transaction starts the round behind it, so that no partition waits behind a busier one.
    const round = held.map((_, i) => (this.#turn + i) % held.length)
    if (channel.failures > 0) {
      // A probe goes where a row is that was not in doubt, if there is one: those of other partitions would hide it for ever.
      const doubts = held.map(({ partition }) =>
        this.#gathering.leastDoubt(partition.pools.get(channel), now),
      )
      round.sort((a, b) => doubts[a]! - doubts[b]!)
    }
    for (const at of round) {
      const { partition, fence } = held[at]!
      const pool = partition.pools.get(channel)
      if (fence.stage !== 'ready' || fence.isOutdated || partition.isDraining || pool === undefined) continue
      const entries = this.#gathering.gather(channel, pool, now, { fresh: true, again: mayRetry })
      if (entries.length === 0) continue
      this.#turn = (at + 1) % held.length
      const number = fence.number + 1n
      channel.underway += 1
      this.#publishing += 1
      this.#core.counters.sent += entries.length
      fence.stage = 'publish'
      fence.batch = { channel, entries, number, confirmations: channel.confirmations }
      const call = this.#call({ partition, fence })
      this.#atBroker.add(partition.partition)
      const rows = entries.map((entry) => entry.row)
      return {
        type: 'publishFenced',
        call,
        partition: leaseOf(partition),
        number,
        channel: channel.name,
        rows,
      }
    }
    return null
  }

  tookOver(call: number, found: TakenOver): void {
    const fenced = this.#returned(call)
    if (fenced === null) return
    const { fence } = fenced
    fence.failures = 0
    fence.found = found
    if (fence.stage !== 'stopped') fence.stage = 'compare'
  }

  compared(call: number, store: FencedState, now: number): void {
    const fenced = this.#returned(call)
    if (fenced === null || fenced.fence.isOutdated) return
    const { partition, fence } = fenced
    fence.failures = 0
    const found = fence.found!
    const result = compare(found, store, partition.epoch)
    fence.number = store.number
    if (result === 'equal') {
      this.#settleDoubt(fenced, now)
      this.#open(fenced)
    } else if (result === 'ahead') {
      const { number, rows } = found.last!
      if (fence.batch?.number === number) this.#rows.countCommitted(fence.batch)
      this.#rows.abandon(fence)
      fence.removal = { number, rows: rows.map((row) => ({ ...row, partition: partition.partition })) }
      fence.stage = 'remove'
    } else {
      this.#rows.abandon(fence)
      fence.reason = result.reason
      if (fence.stage === 'stopped') {
        fence.tryAt = now + this.#core.options.hold.maxMs
        fence.found = null
      } else {
        fence.stage = 'doubtful'
        fence.renewals = 0
      }
    }
  }

  published(call: number, outcome: FencedOutcome, now: number): void {
    const batch = this.#calls.get(call)?.fence.batch
    if (batch === undefined || batch === null) return
    this.#publishing -= 1
    batch.channel.underway -= 1
    const fenced = this.#returned(call)
    if (fenced === null) return
    const { fence } = fenced
    if (outcome.outcome === 'committed') {
      this.#rows.countCommitted(batch)
      for (const entry of batch.entries) entry.state = 'removing'
      this.#gathering.endOfKeys(batch.entries)
      fence.removal = { number: batch.number, rows: batch.entries.map((entry) => entry.row) }
      fence.stage = 'remove'
    } else if (outcome.outcome === 'rejected') {
      fence.stage = 'ready'
      fence.batch = null
      const told = troubles(batch, outcome.fates)
      this.#verdicts.conclude(batch, told, now)
      // Nobody says which message it was: it is the destination, or all of them would be tried again at once and for ever.
      if (told.every((each) => each.outcome === 'aborted' && !each.isTrouble))
        hold(this.#core, batch.channel, codeOf(outcome.fates), now)
    } else if (outcome.outcome === 'fenced') this.#lose(fenced)
    else {
      fence.doubt = outcome
      fence.stage = 'takeOver'
      fence.acceptsFromRead = Number.POSITIVE_INFINITY
      this.#rows.forgetWaiting(fenced.partition)
      if (fenced.partition.isDraining) this.#rows.abandon(fence)
    }
  }

  /** `holds`: whether the lease was still ours. */
  removed(call: number, holds: boolean): void {
    const fenced = this.#returned(call)
    if (fenced === null) return
    const { partition, fence } = fenced
    if (!holds) {
      this.#core.refused(partition)
      return
    }
    fence.failures = 0
    fence.number = fence.removal!.number
    fence.removal = null
    for (const entry of fence.batch?.entries ?? []) this.#core.settle(entry)
    fence.batch = null
    if (fence.acceptsFromRead === Number.POSITIVE_INFINITY) this.#open(fenced)
    else fence.stage = 'ready'
  }

  /** A call that may or may not have had its effect is made again: each is right however often it is made. */
  failed(call: number, now: number): void {
    const fenced = this.#returned(call)
    if (fenced === null) return
    const { fence } = fenced
    fence.failures += 1
    const { hold: pause, random } = this.#core.options
    fence.tryAt = now + backoffMs(fence.failures, pause, random)
  }

  /** The store has another last transaction than was compared: all of it is looked at anew. */
  mismatched(call: number, now: number): void {
    const fence = this.#calls.get(call)?.fence
    this.failed(call, now)
    if (fence !== undefined) fence.isOutdated = true
  }

  /** The leases still held have just been found to be ours. */
  renewed(): void {
    for (const { partition, fence } of this.#held()) {
      if (fence.stage !== 'doubtful') continue
      // The first of them may have been asked for before the broker's note was read; a newer owner could have written it since.
      fence.renewals += 1
      if (fence.renewals < 2) continue
      fence.stage = 'stopped'
      const stopped = { partition: partition.partition, reason: fence.reason }
      this.#news.push({ type: 'fencingStopped', stopped })
    }
  }

  /** Nothing new begins; a commit whose outcome is unknown is left to the successor. */
  drain(partition: PartitionState): void {
    const { fence } = partition
    if (fence !== null && fence.stage !== 'publish' && fence.stage !== 'remove') this.#rows.abandon(fence)
  }

  *#held(): Iterable<Fenced> {
    for (const partition of this.#core.partitions.values())
      if (partition.fence !== null) yield { partition, fence: partition.fence }
  }

  #step({ partition, fence }: Fenced, now: number): Command | null {
    const lease = leaseOf(partition)
    switch (fence.stage) {
      case 'takeOver':
        return this.#takeOver({ partition, fence }, now)
      case 'compare':
      case 'stopped':
        // Stopped, it asks the broker anew as well: after a fail-over another may have had this very epoch, and written since.
        if (fence.found === null) return this.#takeOver({ partition, fence }, now)
        if (partition.isDraining) return null
        return { type: 'fencedState', call: this.#call({ partition, fence }), partition: lease }
      case 'remove': {
        const { number, rows } = fence.removal!
        const note = { number, lineage: fence.found!.lineage }
        return { type: 'removeFenced', call: this.#call({ partition, fence }), partition: lease, note, rows }
      }
      case 'ready':
      case 'publish':
      case 'doubtful':
      case 'lost':
        return null
    }
  }

  #takeOver({ partition, fence }: Fenced, now: number): Command | null {
    const mayAsk = !partition.isDraining && this.#gathering.fitsLease(partition, now)
    // Those that fail again and again leave room for others.
    const most = fence.failures > 0 ? takeOversAtOnce - 1 : takeOversAtOnce
    if (!mayAsk || this.#takeOvers.size >= most || this.#atBroker.has(partition.partition)) return null
    this.#atBroker.add(partition.partition)
    this.#taken.add(partition.partition)
    const call = this.#call({ partition, fence })
    this.#takeOvers.set(call, false)
    const timeoutMs = this.#core.options.sendTimeoutMs * 2 ** Math.min(fence.failures, mostDoublings)
    return { type: 'takeOver', call, partition: leaseOf(partition), timeoutMs }
  }

  #call(fenced: Fenced): number {
    const call = (this.#lastCall += 1)
    fenced.fence.call = call
    this.#calls.set(call, fenced)
    return call
  }

  /** `null` where the lease was lost meanwhile: what the answer says is for the successor to find out. */
  #returned(call: number): Fenced | null {
    const fenced = this.#calls.get(call)
    if (fenced === undefined) return null
    this.#calls.delete(call)
    const { partition, fence } = fenced
    if (this.#takeOvers.delete(call) || fence.stage === 'publish') this.#atBroker.delete(partition.partition)
    fence.call = null
    return partition.isHeld ? fenced : null
  }

  /** Another server has taken the place of the one that all this was compared with. */
  #restart({ partition, fence }: Fenced): void {
    fence.isOutdated = false
    fence.stage = 'takeOver'
    fence.acceptsFromRead = Number.POSITIVE_INFINITY
    fence.removal = null
    this.#rows.forgetWaiting(partition)
    this.#rows.abandon(fence)
  }

  /** From the read that is issued next: all of it, from the start. */
  #open({ partition, fence }: Fenced): void {
    fence.stage = 'ready'
    fence.acceptsFromRead = this.#core.lastRead + 1
    this.#core.reread(partition, 1n)
  }

  /** Of the batch whose commit was not answered nothing has arrived. */
  #settleDoubt(fenced: Fenced, now: number): void {
    const { fence } = fenced
    const { batch, doubt } = fence
    if (batch === null || doubt === null) return
    fence.batch = null
    this.#verdicts.conclude(
      batch,
      batch.entries.map(() => doubt),
      now,
    )
    // What waits was read before the fence. Doubts are remembered, so that it is sent in smaller company.
    this.#rows.forgetWaiting(fenced.partition)
  }

  /** A successor has fenced us: everything of the partition is dropped, and the lease given up. */
  #lose({ partition, fence }: Fenced): void {
    this.#rows.abandon(fence)
    fence.stage = 'lost'
    this.#core.fenced.push(leaseOf(partition))
    partition.isDraining = true
    this.#gathering.drain(partition)
  }
}

function leaseOf({ partition, epoch }: PartitionState): LeasedPartition {
  return { partition, epoch }
}
