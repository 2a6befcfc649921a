import type { Clock } from '../kernel/clock.ts'
import { describeError } from '../kernel/errors.ts'

export type CallPeer = 'database' | 'transport'

/** Calls of one kind that have not been answered yet. */
export interface WaitingCall {
  readonly peer: CallPeer
  readonly what: string
  /** Of the one that waits longest, in milliseconds. */
  readonly sinceMs: number
}

/** A kind of call whose last one failed; it is tried again, and goes from here when one succeeds. */
export interface FailedCall {
  readonly peer: CallPeer
  readonly what: string
  readonly code: string
  /** Since it failed, in milliseconds. */
  readonly agoMs: number
}

interface Underway {
  readonly peer: CallPeer
  readonly what: string
  readonly since: number
}

/**
 * What a relay has asked of others and waits for: whatever hangs can be named. Its kinds are few (S13): those of the code, and
 * one for each of the lane's channels.
 */
export class Calls {
  readonly #clock: Clock
  readonly #underway = new Set<Underway>()
  readonly #failed = new Map<
    string,
    { readonly peer: CallPeer; readonly code: string; readonly at: number }
  >()

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** For a call that is tried again where it fails. */
  async repeated<T>(peer: CallPeer, what: string, work: () => Promise<T>): Promise<T> {
    try {
      const result = await this.noted(peer, what, work)
      this.#failed.delete(what)
      return result
    } catch (error) {
      const { code } = describeError(error)
      // What we have called off ourselves says nothing of the peer.
      if (code !== 'WB_ABORTED') this.#failed.set(what, { peer, code, at: this.#clock.now() })
      throw error
    }
  }

  /** For any other. */
  async noted<T>(peer: CallPeer, what: string, work: () => Promise<T>): Promise<T> {
    const call = { peer, what, since: this.#clock.now() }
    this.#underway.add(call)
    try {
      return await work()
    } finally {
      this.#underway.delete(call)
    }
  }

  /** The longest first. */
  get waiting(): readonly WaitingCall[] {
    const oldest = new Map<string, Underway>()
    // In the order in which they began.
    for (const call of this.#underway) if (!oldest.has(call.what)) oldest.set(call.what, call)
    const now = this.#clock.now()
    return [...oldest.values()].map(({ peer, what, since }) => ({ peer, what, sinceMs: now - since }))
  }

  get failed(): readonly FailedCall[] {
    const now = this.#clock.now()
    return [...this.#failed].map(([what, { peer, code, at }]) => ({ peer, what, code, agoMs: now - at }))
  }
}
