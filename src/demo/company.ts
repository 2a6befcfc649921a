import { setTimeout as pause } from 'node:timers/promises'
import type { WaybillError } from '../index.ts'
import { chanceOf, drawer, type RevivedProcess } from '../testing.ts'
import { demoProcess, type ProcessState, type Role } from './processes.ts'
import type { DemoSettings } from './settings.ts'

const killEveryMs = 1000
/** Where orders take long, the one whose turn it is has time for so many first, or nobody would ever get anywhere ... */
const ordersBetween = 5
/** ... and for so long at most. */
const longestMs = 10_000
/** What a process has to end what is under way. */
const stopDeadlineMs = 10_000

/** All processes of a run. */
export class Company {
  readonly #processes: readonly RevivedProcess[]
  readonly #notes: readonly string[]
  readonly #shop: RevivedProcess
  readonly #seed: number
  #duplicatesSuppressed = 0
  #lastKilled: string | null = null

  constructor(settings: DemoSettings, seed: number, onBroken: (error: WaybillError) => void) {
    this.#seed = seed
    const onSuppressed = (count: number): void => {
      this.#duplicatesSuppressed += count
    }
    const cast = castOf(settings)
    this.#notes = cast.map(([, , note]) => note)
    this.#processes = cast.map(([role, name], i) =>
      demoProcess({ role, name, settings, seed: seed + 1000 * (i + 1), onSuppressed, onBroken }),
    )
    this.#shop = this.#processes.at(-1)!
  }

  get kills(): number {
    return this.#processes.reduce((sum, one) => sum + one.kills, 0)
  }

  /** How many of them have been killed after so long where nothing is slow: each once, if there is time. */
  killsDue(seconds: number): number {
    return Math.min(this.#processes.length, Math.floor(seconds))
  }

  /** Copies that consumers kept from their handler, as far as they could say so before they were killed. */
  get duplicatesSuppressed(): number {
    return this.#duplicatesSuppressed
  }

  get lastKilled(): string | null {
    return this.#lastKilled
  }

  killsByName(): Readonly<Record<string, number>> {
    return Object.fromEntries(this.#processes.map((one) => [one.name, one.kills]))
  }

  states(): readonly ProcessState[] {
    return this.#processes.map((one, i) => ({ ...one.state, note: this.#notes[i]! }))
  }

  /** The shop last: its first order finds somebody who ships it. */
  async start(): Promise<void> {
    await Promise.all(this.#processes.filter((one) => one !== this.#shop).map((one) => one.start()))
    await this.#shop.start()
  }

  /** Kills one of them each second until it is over. `orders`: how many there are. */
  async killUntil(isOver: () => boolean, orders: () => number, signal: AbortSignal): Promise<void> {
    const draw = drawer(this.#processes, chanceOf(this.#seed))
    let before = 0
    for (let at = performance.now() + killEveryMs / 2; !isOver(); at += killEveryMs) {
      const isDue = (now: number): boolean =>
        now >= at && (orders() >= before + ordersBetween || now >= at + longestMs)
      while (!isDue(performance.now()) && !isOver()) await pause(50, undefined, { signal })
      if (isOver()) return
      at = Math.max(at, performance.now() - killEveryMs)
      before = orders()
      const victim = draw()
      this.#lastKilled = victim.name
      await victim.kill()
    }
  }

  /** Resolves when the last order under way has ended. */
  closeShop(): Promise<void> {
    return this.#shop.stop(stopDeadlineMs)
  }

  async stop(): Promise<void> {
    await Promise.all(this.#processes.map((one) => one.stop(stopDeadlineMs)))
  }

  /** SIGKILL for all of them, for good. */
  async end(): Promise<void> {
    await Promise.all(this.#processes.map((one) => one.end()))
  }
}

function castOf({ brokers }: DemoSettings): readonly (readonly [Role, string, string])[] {
  // Without a broker there is nothing between outbox and consumer: each consumer's process relays for itself.
  const relays: readonly (readonly [Role, string, string])[] =
    brokers === null
      ? []
      : [
          ['relay', 'relay-1', ''],
          ['relay', 'relay-2', ''],
        ]
  const note = brokers === null ? 'relay inside' : ''
  return [['shipping', 'shipping-1', note], ['shipping', 'shipping-2', note], ...relays, ['shop', 'shop', '']]
}
