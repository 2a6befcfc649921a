import { backoffMs } from '../../kernel/retry.ts'
import type { BlockedLine, DeadLetter, Follower, FollowerOutcome, Loss, LostRow } from '../../ports/outbox.ts'
import type { Fate } from '../../ports/transport.ts'
import type { MindCore } from './core.ts'
import { Portion } from './portion.ts'
import type { Entry, KeyState } from './state.ts'
import type { Command } from './types.ts'

type Failed = Exclude<Fate, { outcome: 'confirmed' }>

interface Payloads {
  readonly block: BlockedLine
  readonly bury: DeadLetter
  readonly move: Follower
  readonly lose: LostRow
}

type Kind = keyof Payloads

type Write = {
  [K in Kind]: {
    readonly kind: K
    readonly what: Payloads[K]
    readonly entry: Entry
    readonly resets: number
  }
}[Kind]

/**
 * What is written of rows that are not delivered: lines, dead letters, followers beside their parked head, what is lost. One
 * statement at a time, in the order it was asked for. One that fails is made again: each is right however often it is made, and whichever
 * goes first, for a key has no two that depend on each other.
 */
export class Writing {
  readonly #core: MindCore
  readonly #portion: Portion
  #queue: Write[] = []
  #writing: { readonly write: number; readonly writes: readonly Write[] } | null = null
  #lastWrite = 0
  #failures = 0
  #writeAt = 0

  constructor(core: MindCore) {
    this.#core = core
    this.#portion = new Portion(core.options.removeLimit)
  }

  get isIdle(): boolean {
    return this.#writing === null && this.#queue.length === 0
  }

  /** Closes the key by `closeKey` and queues the line or the dead letter. A dead one is what its channel's policy makes of it. */
  failed(entry: Entry, fate: Failed, verdict: 'line' | 'dead', closeKey: () => void): void {
    entry.state = 'writing'
    closeKey()
    const { row, key, channel } = entry
    const isTimely = fate.outcome === 'unknown' || fate.retryInMs === undefined
    const attempts = isTimely ? row.attempts + 1 : row.attempts
    const cause = {
      ...this.#refOf(entry),
      channel: row.channel,
      attempts,
      errorCode: fate.code,
      error: fate.reason,
    }
    // Without a key nothing stands behind it.
    const policy = key === null ? 'skip' : (channel.rules.onPoison ?? 'skip')
    if (verdict === 'line' || policy === 'block') {
      const backOff = (): number => backoffMs(attempts, channel.rules.retry, this.#core.options.random)
      const retryInMs = verdict === 'dead' ? null : isTimely ? backOff() : fate.retryInMs
      const isInDoubt = fate.outcome === 'unknown'
      this.#push(entry, 'block', { ...cause, key: key === null ? null : row.key, retryInMs, isInDoubt })
    } else this.#push(entry, 'bury', { ...cause, reason: reasonOf(fate), parks: policy === 'park' })
  }

  /** A row of a parked key, just read; its key is closed for it where the channel has order. */
  follows(entry: Entry): void {
    const { channel, key } = entry.row
    if (entry.key !== null) entry.key.moving += 1
    this.#begin(entry)
    this.#push(entry, 'move', { ...this.#refOf(entry), channel, key: key! })
  }

  /** A row that waited too long to be sent. The caller sees to it that its key waits. */
  expired(entry: Entry): void {
    this.#begin(entry)
    // What a fenced transaction left in doubt has been looked up since.
    const isInDoubt = entry.doubt.times > 0 && entry.channel.rules.form !== 'fence'
    const cause = isInDoubt ? 'expired-in-doubt' : 'expired'
    this.#push(entry, 'lose', { ...this.#refOf(entry), channel: entry.row.channel, cause, code: null })
  }

  /**
   * A row that has had its one send in vain, and that another server may have by now: it goes there as well, and is counted where it
   * goes. The line in `taken` that would count it is not there then.
   */
  lost(entry: Entry, { channel, cause, code }: Loss): void {
    entry.state = 'writing'
    this.#push(entry, 'lose', { ...this.#refOf(entry), channel, cause, code })
  }

  issue(now: number): Command | null {
    if (this.#writing !== null || this.#queue.length === 0 || now < this.#writeAt) return null
    this.#queue = this.#queue.filter(({ entry }) => entry.partition.isHeld)
    const kind = this.#queue[0]?.kind
    if (kind === undefined) return null
    const writes = this.#queue.filter((write) => write.kind === kind).slice(0, this.#portion.size)
    const chosen = new Set(writes)
    this.#queue = this.#queue.filter((write) => !chosen.has(write))
    const write = (this.#lastWrite += 1)
    this.#writing = { write, writes }
    return commandOf(kind, write, writes)
  }

  written(write: number, outcomes: readonly FollowerOutcome[]): void {
    if (this.#writing?.write !== write) return
    const { writes } = this.#writing
    this.#writing = null
    this.#failures = 0
    this.#portion.succeeded()
    writes.forEach((each, i) => {
      if (!each.entry.partition.isHeld) return
      const outcome = outcomes[i]!
      if (outcome === 'fenced') this.#core.refused(each.entry.partition)
      else if (each.kind === 'lose') this.#lost(each, outcome)
      else if (each.kind === 'move') this.#moved(each, outcome)
      else this.#failed(each, outcome)
    })
  }

  writeFailed(write: number, now: number): void {
    if (this.#writing?.write !== write) return
    this.#queue = this.#portion.failed(this.#writing.writes, this.#queue)
    this.#writing = null
    this.#failures += 1
    this.#writeAt = now + backoffMs(this.#failures, { initialMs: 50, maxMs: 1000 }, this.#core.options.random)
  }

  nextTry(): number {
    return this.#writing === null && this.#queue.length > 0 ? this.#writeAt : Infinity
  }

  #begin(entry: Entry): void {
    entry.state = 'writing'
    entry.partition.busy += 1
  }

  #push<K extends Kind>(entry: Entry, kind: K, what: Payloads[K]): void {
    this.#queue.push({ kind, what, entry, resets: entry.partition.resets } as Write)
  }

  #refOf({
    row: { partition, seq, id },
    partition: { epoch },
  }: Entry): Omit<LostRow, 'channel' | 'cause' | 'code'> {
    return { partition, seq, id, epoch }
  }

  #failed({ kind, what, entry, resets }: Write, outcome: FollowerOutcome): void {
    const { partition, key } = entry
    const { counters } = this.#core
    if (kind === 'bury' && outcome === 'written') counters.buried += 1
    if (kind === 'block' && outcome === 'written' && what.retryInMs === null) counters.blocked += 1
    this.#core.settle(entry)
    // A line covers the key, and a dead letter raised the rewind; where the row was gone neither did. Nor do they where
    // the partition was read anew before this answer came: the rewind is seen already, an operator took the line away
    // again, or it was written on a server that is not read any more. What came of the key since was passed by.
    const isReset = partition.resets !== resets
    if (key !== null) this.#core.reopen(key, isReset || outcome !== 'written')
    else if (isReset) this.#core.reread(partition, entry.row.seq)
  }

  /**
   * The key stays closed until the last of its followers under way is told of, so that none is sent that an operator has made
   * eligible again while an earlier one was being moved.
   */
  #moved({ entry, resets }: Write, outcome: FollowerOutcome): void {
    const core = this.#core
    const { partition, key, row } = entry
    const isPassedBy = outcome !== 'written' || partition.resets !== resets
    if (outcome === 'written') core.counters.followers += 1
    if (outcome === 'unparked') {
      partition.busy -= 1
      core.drop(entry)
    } else core.settle(entry)
    if (key === null) {
      if (isPassedBy) core.reread(partition, row.seq)
      return
    }
    key.moving -= 1
    const closed = key.closed!
    if (isPassedBy) closed.rereads = true
    if (key.moving === 0) core.reopen(key, closed.rereads)
  }

  #lost({ what, entry, resets }: Write & { readonly kind: 'lose' }, outcome: FollowerOutcome): void {
    const core = this.#core
    const { partition, row } = entry
    // A one send has told its key already that it is over, and counted.
    const isExpiry = what.cause === 'expired' || what.cause === 'expired-in-doubt'
    if (isExpiry && outcome === 'written') core.counters.expired += 1
    core.settle(entry)
    // On a server that is not read any more; or gone, and brought back while this was under way.
    if (entry.history !== core.histories || (outcome === 'gone' && partition.resets !== resets))
      core.reread(partition, row.seq)
    if (isExpiry) endOfExpiry(core, entry.key)
  }
}

function endOfExpiry(core: MindCore, key: KeyState | null): void {
  if (key === null) return
  key.sending -= 1
  core.refresh(key)
}

function commandOf(kind: Kind, write: number, writes: readonly Write[]): Command {
  const whats = <K extends Kind>(of: K): Payloads[K][] =>
    writes.flatMap((each) => (each.kind === of ? [each.what as Payloads[K]] : []))
  switch (kind) {
    case 'block':
      return { type: 'block', write, lines: whats('block') }
    case 'bury':
      return { type: 'bury', write, letters: whats('bury') }
    case 'move':
      return { type: 'move', write, rows: whats('move') }
    case 'lose':
      return { type: 'lose', write, rows: whats('lose') }
  }
}

function reasonOf(fate: Failed): DeadLetter['reason'] {
  if (fate.outcome === 'rejected' && fate.isUnreadable === true) return 'unreadable'
  return fate.outcome === 'rejected' && !fate.retryable ? 'rejected' : 'attempts-exhausted'
}
