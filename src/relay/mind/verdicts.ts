import type { ErrorCode } from '../../kernel/errors.ts'
import type { Fate } from '../../ports/transport.ts'
import type { MindCore } from './core.ts'
import type { Finishing } from './finishing.ts'
import { alone, type Gathering } from './gathering.ts'
import { hold } from './holding.ts'
import type { ChannelState, Entry, KeyState } from './state.ts'
import type { Writing } from './writing.ts'

/** Rows under way to one destination. */
export interface Underway {
  readonly channel: ChannelState
  readonly entries: readonly Entry[]
  /** What the destination had confirmed when this was sent. */
  readonly confirmations: number
}

/**
 * A fate, or what a message was told that went down with its whole transaction: it is not there, and must go again, alone where it
 * is `trouble` itself and stands behind one of its key that is not.
 */
export type Told = Fate | { readonly outcome: 'aborted'; readonly isTrouble: boolean }

/** What becomes of a row that was not confirmed: back to the head of its key, a line, or the dead letters. */
type Verdict = 'again' | 'line' | 'dead'

/** What the fates of a send mean for each of its rows, and for the destination (PROTOCOLS 5). */
export class Verdicts {
  readonly #core: MindCore
  readonly #finishing: Finishing
  readonly #writing: Writing
  readonly #gathering: Gathering

  constructor(core: MindCore, finishing: Finishing, writing: Writing, gathering: Gathering) {
    this.#core = core
    this.#finishing = finishing
    this.#writing = writing
    this.#gathering = gathering
  }

  conclude(sent: Underway, fates: readonly Told[], now: number): void {
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
    const untried: Entry[] = []
    let failure: string | null = null
    entries.forEach((entry, i) => {
      const fate = fates[i] ?? silence
      if (fate.outcome !== 'aborted') this.#core.counters[fate.outcome] += 1
      if (fate.outcome === 'confirmed') {
        this.#finishing.confirmed(entry)
        return
      }
      const othersPassed = channel.confirmations > sent.confirmations
      if (fate.outcome === 'rejected' && fate.scope === 'destination') failure = fate.code
      if (!entry.partition.isHeld) return
      const verdict =
        (entry.key === null ? undefined : heads.get(entry.key)) ?? this.#judge(sent, entry, fate)
      if (verdict === 'again') {
        if (fate.outcome === 'unknown' && !othersPassed) failure = fate.code
        if (fate.outcome === 'unknown') {
          entry.doubt = { times: entry.doubt.times + 1, confirmations: channel.confirmations }
        }
        if (fate.outcome === 'aborted' && fate.isTrouble)
          entry.doubt = { times: alone, confirmations: channel.confirmations }
        again.push(entry)
        if (fate.outcome === 'rejected' && fate.scope === 'send') untried.push(entry)
      } else if (entry.key !== null && heads.has(entry.key)) this.#dropFollower(entry)
      else if (fate.outcome !== 'aborted')
        this.#writing.failed(entry, fate, verdict, () => this.#dropQueue(entry))
      if (fate.outcome !== 'aborted' && entry.key !== null && !heads.has(entry.key))
        heads.set(entry.key, verdict)
    })
    this.#gathering.giveBack(again)
    // Before the keys that had their turn, which have new rows by now: else those would be all that is ever tried (P7).
    this.#gathering.endOfKeys(untried)
    this.#gathering.endOfKeys(entries)
    if (failure !== null) hold(this.#core, channel, failure, now)
  }

  #judge(sent: Underway, entry: Entry, fate: Exclude<Told, { outcome: 'confirmed' }>): Verdict {
    if (fate.outcome === 'aborted') return 'again'
    const attempts = entry.row.attempts + 1
    const isLast = attempts >= entry.channel.rules.maxAttempts
    if (fate.outcome === 'rejected') {
      if (fate.scope !== 'message') return 'again'
      if (fate.retryInMs !== undefined) return 'line'
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

/** What a destination failed with, by the first of its answers. */
export function codeOf(fates: readonly Fate[]): string {
  return fates.find((fate) => fate.outcome !== 'confirmed')?.code ?? 'NO_ANSWER'
}

/** The code of a message that was refused only because another of its transaction was. */
const abortedCode: ErrorCode = 'WB_ABORTED'

/** The fates of a transaction that was refused: none of it is there, and whoever was not the trouble is only sent anew. */
export function troubles({ entries }: Underway, fates: readonly Fate[]): Told[] {
  const innocent = new Set<KeyState>()
  return entries.map(({ key }, i) => {
    const fate = fates[i]
    const isTrouble = fate?.outcome === 'rejected' && fate.code !== abortedCode
    // A line would hold the whole key, with those before it that have not been sent.
    if (isTrouble && (key === null || !innocent.has(key))) return fate
    if (key !== null) innocent.add(key)
    return { outcome: 'aborted', isTrouble }
  })
}
