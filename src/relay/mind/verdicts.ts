import type { Fate } from '../../ports/transport.ts'
import type { MindCore } from './core.ts'
import type { Finishing } from './finishing.ts'
import type { Gathering } from './gathering.ts'
import { hold } from './holding.ts'
import type { ChannelState, Entry, KeyState } from './state.ts'

/** Rows under way to one destination. */
export interface Underway {
  readonly channel: ChannelState
  readonly entries: readonly Entry[]
  /** What the destination had confirmed when this was sent. */
  readonly confirmations: number
}

/** What becomes of a row that was not confirmed: back to the head of its key, a line, or the dead letters. */
type Verdict = 'again' | 'line' | 'dead'

/** What the fates of a send mean for each of its rows, and for the destination (PROTOCOLS 5). */
export class Verdicts {
  readonly #core: MindCore
  readonly #finishing: Finishing
  readonly #gathering: Gathering

  constructor(core: MindCore, finishing: Finishing, gathering: Gathering) {
    this.#core = core
    this.#finishing = finishing
    this.#gathering = gathering
  }

  conclude(sent: Underway, fates: readonly Fate[], now: number): void {
    const { channel, entries } = sent
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
      this.#core.counters[fate.outcome] += 1
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
    this.#gathering.giveBack(again)
    this.#gathering.endOfKeys(entries)
    if (failsForAll) hold(this.#core, channel, now)
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
}
