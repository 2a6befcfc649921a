import { backoffMs } from '../../kernel/retry.ts'
import type { Fate } from '../../ports/transport.ts'
import type { MindCore } from './core.ts'
import type { Finishing } from './finishing.ts'
import type { ChannelState, Entry, KeyState, PartitionState } from './state.ts'
import type { Command } from './types.ts'

interface Underway {
  readonly channel: ChannelState
  readonly entries: readonly Entry[]
  /** What the destination had confirmed when this was sent. */
  readonly confirmations: number
}

/** What becomes of a row that was not confirmed: back to the head of its key, a line, or the dead letters. */
type Verdict = 'again' | 'line' | 'dead'

/**
 * Which rows go into a send, and what their fates mean (PROTOCOLS 5). A key has rows in at most one send at a time; a send
 * is of one channel, so that a destination which fails for everyone is told from a message that fails alone.
 */
export class Sending {
  readonly #core: MindCore
  readonly #finishing: Finishing
  readonly #underway = new Map<number, Underway>()
  #lastSend = 0

  constructor(core: MindCore, finishing: Finishing) {
    this.#core = core
    this.#finishing = finishing
  }

  get underway(): number {
    return this.#underway.size
  }

  issue(now: number): Command[] {
    const commands: Command[] = []
    const channels = [...this.#core.channels.values()]
    for (let i = 0; i < channels.length && this.#underway.size < this.#core.options.maxSends; i++) {
      // Each send starts the round one channel further, so that none waits behind a busier one.
      const channel = channels[(this.#lastSend + i) % channels.length]!
      const entries = this.#gather(channel, now)
      if (entries.length === 0) continue
      const send = (this.#lastSend += 1)
      channel.underway += 1
      this.#underway.set(send, { channel, entries, confirmations: channel.confirmations })
      this.#core.counters.sent += entries.length
      commands.push({ type: 'send', send, channel: channel.name, rows: entries.map((entry) => entry.row) })
      i = -1
    }
    return commands
  }

  ended(send: number, fates: readonly Fate[], now: number): void {
    const sent = this.#underway.get(send)
    if (sent === undefined) return
    this.#underway.delete(send)
    const { channel, entries } = sent
    channel.underway -= 1
    // A sender that answers too little has told nothing about the rest.
    const silence: Fate = {
      outcome: 'unknown',
      code: 'NO_ANSWER',
      reason: 'the transport gave no answer for it',
    }
    const confirmed = fates.filter((fate) => fate.outcome === 'confirmed').length
    channel.confirmations += confirmed
    if (confirmed > 0) channel.failures = 0

    const heads = new Map<KeyState, Verdict>()
    const again: Entry[] = []
    let failsForAll = false
    entries.forEach((entry, i) => {
      const fate = fates[i] ?? silence
      this.#count(fate)
      if (fate.outcome === 'confirmed') {
        this.#finishing.confirmed(entry)
        return
      }
      const othersPassed = channel.confirmations > sent.confirmations
      if (fate.outcome === 'rejected' && fate.scope === 'destination') failsForAll = true
      if (!entry.partition.isHeld) return
      const verdict =
        (entry.key === null ? undefined : heads.get(entry.key)) ?? this.#judge(sent, entry, fate)
      if (verdict === 'again') {
        if (fate.outcome === 'unknown' && !othersPassed) failsForAll = true
        if (fate.outcome === 'unknown') {
          entry.doubt = { times: entry.doubt.times + 1, confirmations: channel.confirmations }
        }
        again.push(entry)
      } else if (entry.key !== null && heads.has(entry.key)) this.#dropFollower(entry)
      else this.#finishing.failed(entry, fate, verdict, () => this.#dropQueue(entry))
      if (entry.key !== null && !heads.has(entry.key)) heads.set(entry.key, verdict)
    })
    this.#sendAgain(channel, again)
    for (const entry of entries) if (entry.key !== null) this.#endOfKey(entry.key)
    if (failsForAll) this.#hold(channel, now)
  }

  /** Everything that waits is forgotten; what is under way is left to end. */
  drain(partition: PartitionState): void {
    const core = this.#core
    for (const key of partition.keys.values()) {
      for (const entry of key.queue) core.drop(entry)
      key.queue = []
      key.channel.ready.delete(key)
      core.reopening.delete(key)
    }
    for (const entry of partition.entries.values()) if (entry.state === 'waiting') core.drop(entry)
  }

  #count(fate: Fate): void {
    this.#core.counters[fate.outcome] += 1
  }

  #judge(sent: Underway, entry: Entry, fate: Exclude<Fate, { outcome: 'confirmed' }>): Verdict {
    const attempts = entry.row.attempts + 1
    const isLast = attempts >= entry.channel.rules.maxAttempts
    if (fate.outcome === 'rejected') {
      if (fate.scope === 'destination') return 'again'
      return !fate.retryable || isLast ? 'dead' : 'line'
    }
    // A message that closes its connection must not take its neighbours with it for ever: sent alone, and unknown again
    // while the destination has confirmed others, it is the message that fails.
    const isAlone = sent.entries.length === 1
    const othersPass = entry.doubt.times > 0 && entry.channel.confirmations > entry.doubt.confirmations
    if (!isAlone || !othersPass) return 'again'
    return isLast ? 'dead' : 'line'
  }

  #gather(channel: ChannelState, now: number): Entry[] {
    const isProbing = channel.failures > 0
    if (channel.heldUntil !== null || (isProbing && channel.underway > 0)) return []
    const batch: Batch = { entries: [], limit: isProbing ? 1 : this.#core.options.batchSize }
    if (isProbing) {
      const probe = this.#leastDoubted(channel, now)
      // A message that breaks its connection stands in front of the others after each hold: they are read first, or it would
      // be all that is ever tried.
      if (probe === null || (probe.doubt.times > 0 && !this.#core.hasLookedAround(channel))) return []
      if (probe.key === null) this.#takeLoose(channel, batch, now, probe)
      else this.#takeRun(probe.key, batch)
      return batch.entries
    }
    for (const key of channel.ready) {
      if (batch.entries.length >= batch.limit) break
      if (this.#fitsLease(key.partition, now)) this.#takeRun(key, batch)
    }
    this.#takeLoose(channel, batch, now, null)
    return batch.entries
  }

  #takeRun(key: KeyState, batch: Batch): void {
    const most = this.#core.options.ordersBatch ? key.queue.length : 1
    let taken = 0
    while (taken < most && this.#take(key.queue[taken]!, batch)) taken += 1
    if (taken === 0) return
    key.queue.splice(0, taken)
    key.sending = taken
    key.channel.ready.delete(key)
    // The queue has run out: what was passed over can be read while this is under way.
    if (key.queue.length === 0 && key.closed?.waitsFor === 'queue') this.#core.reopen(key, true)
  }

  #takeLoose(channel: ChannelState, batch: Batch, now: number, only: Entry | null): void {
    const left: Entry[] = []
    let i = 0
    for (; i < channel.loose.length && batch.entries.length < batch.limit; i++) {
      const entry = channel.loose[i]!
      if (entry.state !== 'waiting') continue
      const isWanted = (only === null || only === entry) && this.#fitsLease(entry.partition, now)
      if (!isWanted || !this.#take(entry, batch)) left.push(entry)
    }
    if (i > 0) channel.loose = [...left, ...channel.loose.slice(i)]
  }

  #take(entry: Entry, batch: Batch): boolean {
    const limit = Math.min(batch.limit, this.#sizeFor(entry))
    if (batch.entries.length > 0 && batch.entries.length >= limit) return false
    batch.limit = limit
    batch.entries.push(entry)
    entry.state = 'sending'
    entry.partition.busy += 1
    return true
  }

  /** The more often a row's fate was unknown, the smaller its company, down to none. */
  #sizeFor(entry: Entry): number {
    if (entry.row.attempts > 0 || entry.doubt.times >= 3) return 1
    return Math.max(1, Math.floor(this.#core.options.batchSize / 8 ** entry.doubt.times))
  }

  #fitsLease(partition: PartitionState, now: number): boolean {
    return partition.until - now >= this.#core.options.sendTimeoutMs
  }

  /** A probe with the row that broke the connection last time would never find the destination well again. */
  #leastDoubted(channel: ChannelState, now: number): Entry | null {
    let best: Entry | null = null
    const look = (entry: Entry | undefined): void => {
      if (entry?.state !== 'waiting' || !this.#fitsLease(entry.partition, now)) return
      if (best === null || entry.doubt.times < best.doubt.times) best = entry
    }
    for (const key of channel.ready) look(key.queue[0])
    for (const entry of channel.loose) look(entry)
    return best
  }

  /** Back to the head of their keys, in the order they had. */
  #sendAgain(channel: ChannelState, entries: readonly Entry[]): void {
    const runs = new Map<KeyState, Entry[]>()
    const loose: Entry[] = []
    for (const entry of entries) {
      entry.state = 'waiting'
      entry.partition.busy -= 1
      if (entry.partition.isDraining) {
        this.#core.drop(entry)
        continue
      }
      if (entry.key === null) {
        loose.push(entry)
        continue
      }
      const run = runs.get(entry.key)
      if (run === undefined) runs.set(entry.key, [entry])
      else run.push(entry)
    }
    for (const [key, run] of runs) key.queue.unshift(...run)
    if (loose.length > 0) channel.loose = [...loose, ...channel.loose]
  }

  #endOfKey(key: KeyState): void {
    if (key.sending === 0) return
    key.sending = 0
    if (key.partition.isHeld) this.#core.refresh(key)
  }

  #dropFollower(entry: Entry): void {
    const key = entry.key!
    entry.partition.busy -= 1
    if (key.closed !== null && entry.row.seq < key.closed.lowest) key.closed.lowest = entry.row.seq
    this.#core.drop(entry)
  }

  /** The successors of a failed head leave memory: its key is closed until its line is there. */
  #dropQueue(head: Entry): void {
    const key = head.key
    if (key === null) return
    let lowest = head.row.seq
    for (const entry of key.queue) {
      // Below the head where a fail-over or a replay brought it back while the head was under way.
      if (entry.row.seq < lowest) lowest = entry.row.seq
      this.#core.drop(entry)
    }
    this.#core.close(key, lowest, 'line')
    key.queue = []
  }

  /**
   * The destination fails for everyone: it is left alone for a while, and its rows are not marked one by one. They leave
   * memory, so that other channels have the room; the read that ends the hold starts from floor 0.
   */
  #hold(channel: ChannelState, now: number): void {
    const core = this.#core
    if (channel.heldUntil !== null) return
    channel.failures += 1
    channel.heldUntil = now + backoffMs(channel.failures, core.options.hold, core.options.random)
    channel.acceptsFromRead = Number.POSITIVE_INFINITY
    for (const partition of core.partitions.values()) {
      for (const key of partition.keys.values()) {
        if (key.channel !== channel) continue
        for (const entry of key.queue) core.drop(entry)
        key.queue = []
        if (key.closed?.waitsFor === 'queue') {
          key.closed = null
          core.reopening.delete(key)
        }
        core.refresh(key)
      }
    }
    for (const entry of channel.loose) if (entry.state === 'waiting') core.drop(entry)
    channel.loose = []
  }
}

interface Batch {
  readonly entries: Entry[]
  limit: number
}
