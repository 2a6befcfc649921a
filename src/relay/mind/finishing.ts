import { backoffMs } from '../../kernel/retry.ts'
import type { MindCore } from './core.ts'
import { Portion } from './portion.ts'
import type { Entry } from './state.ts'
import type { Command } from './types.ts'

/** Deletes of what was confirmed. One that fails is made again: it is right however often it is made. */
export class Finishing {
  readonly #core: MindCore
  readonly #portion: Portion
  #removing: { readonly remove: number; readonly removals: readonly Entry[] } | null = null
  #lastRemove = 0
  #removeFailures = 0
  #removeAt = 0

  constructor(core: MindCore) {
    this.#core = core
    this.#portion = new Portion(core.options.removeLimit)
  }

  get isIdle(): boolean {
    return this.#removing === null && this.#core.removals.length === 0
  }

  confirmed(entry: Entry): void {
    if (entry.partition.isHeld) entry.state = 'removing'
    else this.#core.counters.lateConfirms += 1
    this.#core.removals.push(entry)
  }

  issue(now: number): Command | null {
    if (this.#removing !== null || this.#core.removals.length === 0 || now < this.#removeAt) return null
    const removals = this.#core.removals.splice(0, this.#portion.size)
    const remove = (this.#lastRemove += 1)
    this.#removing = { remove, removals }
    return { type: 'remove', remove, rows: removals.map(({ row }) => row) }
  }

  removed(remove: number): void {
    if (this.#removing?.remove !== remove) return
    const { removals } = this.#removing
    this.#removing = null
    this.#removeFailures = 0
    this.#portion.succeeded()
    for (const entry of removals) {
      // Of a lease that was lost nothing is remembered.
      if (!entry.partition.isHeld) continue
      this.#core.settle(entry)
      // The server that said so may not be the one read now, or the row was not there yet; reads have passed it by since.
      if (entry.history !== this.#core.histories) this.#core.reread(entry.partition, entry.row.seq)
    }
  }

  removeFailed(remove: number, now: number): void {
    if (this.#removing?.remove !== remove) return
    this.#core.removals = this.#portion.failed(this.#removing.removals, this.#core.removals)
    this.#removing = null
    this.#removeFailures += 1
    const pause = { initialMs: 50, maxMs: 1000 }
    this.#removeAt = now + backoffMs(this.#removeFailures, pause, this.#core.options.random)
  }

  nextTry(): number {
    return this.#removing === null && this.#core.removals.length > 0 ? this.#removeAt : Infinity
  }
}
