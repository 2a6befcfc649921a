import type { Fate } from '../../ports/transport.ts'
import type { MindCore } from './core.ts'
import type { Fencing } from './fencing.ts'
import type { Gathering } from './gathering.ts'
import { type ChannelState, isRetry } from './state.ts'
import type { Taking } from './taking.ts'
import type { Command } from './types.ts'
import type { Underway, Verdicts } from './verdicts.ts'

/**
 * Whose turn it is to send, and the sends of form `confirm`. A send is of one channel, so that a destination which fails for
 * everyone is told from a message that fails alone.
 */
export class Sending {
  readonly #core: MindCore
  readonly #gathering: Gathering
  readonly #verdicts: Verdicts
  readonly #taking: Taking
  readonly #fencing: Fencing
  readonly #confirming = new Map<number, Underway>()
  #lastSend = 0

  constructor(core: MindCore, gathering: Gathering, verdicts: Verdicts, taking: Taking, fencing: Fencing) {
    this.#core = core
    this.#gathering = gathering
    this.#verdicts = verdicts
    this.#taking = taking
    this.#fencing = fencing
  }

  get underway(): number {
    return this.#confirming.size
  }

  issue(now: number): Command[] {
    const commands: Command[] = []
    const channels = [...this.#core.channels.values()]
    for (let i = 0; i < channels.length && this.#room > 0; i++) {
      // Each send starts the round one channel further, so that none waits behind a busier one.
      const channel = channels[(this.#lastSend + i) % channels.length]!
      const command = this.#mayTakeRoom(channel) ? this.#next(channel, now) : null
      if (command === null) continue
      commands.push(command)
      i = -1
    }
    return commands
  }

  ended(send: number, fates: readonly Fate[], now: number): void {
    const sent = this.#confirming.get(send)
    if (sent === undefined) return
    this.#confirming.delete(send)
    sent.channel.underway -= 1
    this.#verdicts.conclude(sent, fates, now)
  }

  get #room(): number {
    const underway = this.#confirming.size + this.#taking.underway + this.#fencing.underway
    return this.#core.options.maxSends - underway
  }

  /**
   * The last of three sends or more is for a channel that has none: one destination that hangs would take it too, and all others would
   * wait for as long as a send may take (O2).
   */
  #mayTakeRoom(channel: ChannelState): boolean {
    const { channels, options } = this.#core
    if (channels.size === 1 || options.maxSends < 3) return true
    return this.#room > 1 || channel.underway === 0
  }

  /** Retries may hang, each as long as a send may take: half of the sends is left to the others (P7). */
  get #mayRetry(): boolean {
    let underway = this.#fencing.retriesUnderway
    for (const { entries } of this.#confirming.values()) if (isRetry(entries[0]!)) underway += 1
    return underway < Math.max(1, Math.floor(this.#core.options.maxSends / 2))
  }

  /** What handlers of one send do side by side, two of them would do twice over; a retry, which goes alone, adds itself. */
  get #mayBeFresh(): boolean {
    const { maxFreshSends } = this.#core.options
    if (maxFreshSends === undefined) return true
    let underway = this.#taking.underway
    for (const { entries } of this.#confirming.values()) if (!isRetry(entries[0]!)) underway += 1
    return underway < maxFreshSends
  }

  #next(channel: ChannelState, now: number): Command | null {
    if (channel.rules.form === 'fence') {
      const command = this.#fencing.next(channel, now, this.#mayRetry)
      if (command !== null) this.#lastSend += 1
      return command
    }
    const isTaken = channel.rules.form === 'take'
    if (isTaken && !this.#taking.mayTake(now)) return null
    const may = { fresh: this.#mayBeFresh, again: this.#mayRetry }
    const entries = this.#gathering.gather(channel, channel.pool, now, may)
    if (entries.length === 0) return null
    const send = (this.#lastSend += 1)
    channel.underway += 1
    if (isTaken) return this.#taking.begin(send, channel, entries)
    this.#confirming.set(send, { channel, entries, confirmations: channel.confirmations })
    this.#core.counters.sent += entries.length
    return { type: 'send', send, channel: channel.name, rows: entries.map((entry) => entry.row) }
  }
}
