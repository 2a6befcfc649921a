import { backoffMs } from '../../kernel/retry.ts'
import type { Loss, TakeOutcome } from '../../ports/outbox.ts'
import type { OnceResult } from '../sender.ts'
import type { MindCore } from './core.ts'
import type { Gathering } from './gathering.ts'
import { hold } from './holding.ts'
import type { ChannelState, Entry, PartitionState } from './state.ts'
import type { Command } from './types.ts'
import type { Writing } from './writing.ts'

interface Take {
  readonly take: number
  readonly channel: ChannelState
  readonly entries: readonly Entry[]
  /** See `PartitionState.resets`. */
  readonly resets: readonly number[]
}

interface OneSend {
  readonly channel: ChannelState
  readonly entries: readonly Entry[]
  /** Taken and not in this send; their keys wait for its end all the same. */
  readonly late: readonly Entry[]
  /** Of `late`, in order. */
  readonly losses: readonly Loss[]
}

interface End {
  readonly take: number
  readonly losses: readonly Loss[]
  readonly partitions: readonly PartitionState[]
}

const notSent = (code: string): NonNullable<OnceResult> => ({ cause: 'not-sent', code })

/**
 * At most once: a committed delete, then the one send, then a note of what was lost. Until the delete is acknowledged nothing is
 * sent; from then on nothing is ever tried again, whatever becomes of the send.
 */
export class Taking {
  readonly #core: MindCore
  readonly #gathering: Gathering
  readonly #writing: Writing
  readonly #taking = new Map<number, Take>()
  readonly #sending = new Map<number, OneSend>()
  #dispatches: Command[] = []
  #takeFailures = 0
  #takeAt = 0
  readonly #ends: End[] = []
  #ending: End | null = null
  #endFailures = 0
  #endAt = 0

  constructor(core: MindCore, gathering: Gathering, writing: Writing) {
    this.#core = core
    this.#gathering = gathering
    this.#writing = writing
  }

  get underway(): number {
    return this.#taking.size + this.#sending.size
  }

  get isIdle(): boolean {
    return this.underway === 0 && this.#ending === null && this.#ends.length === 0
  }

  /** Not while the store fails, nor while more sends wait for their end to be noted than may be under way. */
  mayTake(now: number): boolean {
    return now >= this.#takeAt && this.#ends.length < this.#core.options.maxSends
  }

  begin(take: number, channel: ChannelState, entries: readonly Entry[]): Command {
    this.#taking.set(take, { take, channel, entries, resets: entries.map((each) => each.partition.resets) })
    const rows = entries.map(({ row: { partition, seq, id }, partition: { epoch } }) => ({
      partition,
      seq,
      id,
      channel: channel.name,
      epoch,
    }))
    return { type: 'take', take, channel: channel.name, rows }
  }

  taken(number: number, outcomes: readonly TakeOutcome[], now: number): void {
    const take = this.#taking.get(number)
    if (take === undefined) return
    this.#taking.delete(number)
    this.#takeFailures = 0
    const mine: Entry[] = []
    const others: Entry[] = []
    const fenced = new Set<PartitionState>()
    take.entries.forEach((entry, i) => {
      const outcome = outcomes[i]
      if (outcome === 'taken') mine.push(entry)
      else others.push(entry)
      if (outcome === 'fenced') fenced.add(entry.partition)
      if (outcome === 'gone') this.#gone(entry, take.resets[i]!)
    })
    for (const partition of fenced) this.#core.refused(partition)
    const sending = new Set(mine.map((entry) => entry.key))
    this.#gathering.endOfKeys(others.filter((entry) => !sending.has(entry.key)))
    this.#core.counters.taken += mine.length
    // A successor may be sending what stands behind them in their key: too late for these. By the clock too: a process that was stopped
    // gets this answer before anything tells it that its lease is over.
    const isLate = ({ key, partition }: Entry): boolean =>
      key !== null && (!partition.isHeld || now >= partition.until)
    const late = mine.filter(isLate)
    this.#send({ ...take, entries: mine.filter((entry) => !isLate(entry)) }, late)
  }

  /** The rows may be gone or not: taken again, those that are gone are found to be. */
  takeFailed(number: number, now: number): void {
    const take = this.#giveBack(number)
    if (take === null) return
    this.#takeFailures += 1
    this.#takeAt = now + this.#pause(this.#takeFailures)
  }

  /** Nothing was taken: there is no destination to send to now. */
  notReady(number: number, now: number): void {
    const take = this.#giveBack(number)
    if (take !== null) hold(this.#core, take.channel, 'NOT_READY', now)
  }

  dispatched(number: number, results: readonly OnceResult[], now: number): void {
    const take = this.#sending.get(number)
    if (take === undefined) return
    this.#sending.delete(number)
    const { channel, entries, late } = take
    channel.underway -= 1
    const losses = [...take.losses]
    this.#finishLate(late, take.losses)
    entries.forEach((entry, i) => {
      const result = i < results.length ? results[i]! : notSent('NO_ANSWER')
      const loss = result === null ? null : { channel: channel.name, id: entry.row.id, ...result }
      if (loss !== null) losses.push(loss)
      this.#finish(entry, loss)
    })
    const all = [...entries, ...late]
    this.#end(number, all, losses)
    this.#gathering.endOfKeys(all)
    const reachesNobody = entries.every((_, i) => i >= results.length || results[i]?.cause === 'not-sent')
    if (reachesNobody) hold(this.#core, channel, results[0]?.code ?? 'NO_ANSWER', now)
    else channel.failures = 0
  }

  ended(number: number): void {
    if (this.#ending?.take !== number) return
    for (const partition of this.#ending.partitions) partition.busy -= 1
    this.#ending = null
    this.#endFailures = 0
  }

  endFailed(number: number, now: number): void {
    if (this.#ending?.take !== number) return
    this.#ends.unshift(this.#ending)
    this.#ending = null
    this.#endFailures += 1
    this.#endAt = now + this.#pause(this.#endFailures)
  }

  issue(now: number): Command[] {
    const commands = this.#dispatches
    this.#dispatches = []
    if (now >= this.#takeAt) this.#takeAt = 0
    if (this.#ending === null && this.#ends.length > 0 && now >= this.#endAt) {
      const { take, losses } = (this.#ending = this.#ends.shift()!)
      commands.push({ type: 'endTaken', take, losses })
    }
    return commands
  }

  nextTry(): number {
    const endAt = this.#ending === null && this.#ends.length > 0 ? this.#endAt : Infinity
    return Math.min(endAt, this.#takeAt === 0 ? Infinity : this.#takeAt)
  }

  #send({ take, channel, entries }: Take, late: readonly Entry[]): void {
    const losses = late.map(({ row: { id } }) => ({ channel: channel.name, id, ...notSent('LEASE_LOST') }))
    if (entries.length > 0) {
      this.#sending.set(take, { channel, entries, late, losses })
      const rows = entries.map((entry) => entry.row)
      const epochs = entries.map((entry) => entry.partition.epoch)
      this.#dispatches.push({ type: 'dispatch', take, channel: channel.name, rows, epochs })
      return
    }
    channel.underway -= 1
    if (late.length === 0) return
    this.#finishLate(late, losses)
    this.#end(take, late, losses)
    this.#gathering.endOfKeys(late)
  }

  #finishLate(late: readonly Entry[], losses: readonly Loss[]): void {
    late.forEach((entry, i) => {
      this.#finish(entry, losses[i]!)
    })
  }

  /** A successor counts what it finds under an older epoch: a partition is not given up before its takes have ended. */
  #end(take: number, entries: readonly Entry[], losses: readonly Loss[]): void {
    const partitions = [...new Set(entries.map((each) => each.partition))]
    for (const partition of partitions) partition.busy += 1
    this.#core.counters.lost += losses.length
    this.#ends.push({ take, losses, partitions })
  }

  #gone(entry: Entry, resets: number): void {
    const { partition, row } = entry
    if (!partition.isHeld) return
    this.#core.settle(entry)
    // As with lines: it may have come back, and been passed by, before this was told.
    if (entry.history !== this.#core.histories || partition.resets !== resets)
      this.#core.reread(partition, row.seq)
  }

  /** A server that is read by now may still have the row, and has been asked for it in vain: it must not bring it again. */
  #finish(entry: Entry, loss: Loss | null): void {
    if (!entry.partition.isHeld) return
    if (entry.history === this.#core.histories) {
      this.#core.settle(entry)
      return
    }
    if (loss !== null) {
      this.#writing.lost(entry, loss)
      return
    }
    entry.state = 'removing'
    this.#core.removals.push(entry)
  }

  #giveBack(number: number): Take | null {
    const take = this.#taking.get(number)
    if (take === undefined) return null
    this.#taking.delete(number)
    take.channel.underway -= 1
    this.#gathering.giveBack(take.entries.filter((entry) => entry.partition.isHeld))
    this.#gathering.endOfKeys(take.entries)
    return take
  }

  #pause(failures: number): number {
    return backoffMs(failures, { initialMs: 50, maxMs: 1000 }, this.#core.options.random)
  }
}
