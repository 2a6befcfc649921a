import type { OutboxRow } from '../../src/ports/outbox.ts'
import type { Fate } from '../../src/ports/transport.ts'
import type { OnceResult } from '../../src/relay/sender.ts'
import type { Coverage } from './coverage.ts'
import { FencedLog, type LogFlaws } from './fenced-log.ts'
import { lockOf } from './tables.ts'

/** `reject`: refused for itself, again and again · `fatal`: refused for good · `breaker`: its connection closes. */
export type Poison = 'reject' | 'fatal' | 'breaker'

const dropped: OnceResult = { cause: 'not-sent', code: 'DROPPED' }
const confirmed: Fate = { outcome: 'confirmed' }
const unknown: Fate = { outcome: 'unknown', code: 'NO_ANSWER', reason: 'no answer' }
const down: Fate = {
  outcome: 'rejected',
  scope: 'destination',
  retryable: true,
  code: 'DOWN',
  reason: 'down',
}
export const afterFailure = 'AFTER_FAILURE'

function rejected(code: string, retryable: boolean): Fate {
  return { outcome: 'rejected', scope: 'message', retryable, code, reason: code }
}

/** Records what arrives and decides fates. Keeps the order of a key, or fails it as a suffix. */
export class Broker {
  readonly arrivals: OutboxRow[] = []
  readonly poison: Map<string, Poison> = new Map()
  readonly down: Set<string> = new Set()
  /** Sends whose client gave up on them and which arrive all the same. */
  readonly straggling: (readonly OutboxRow[])[] = []
  readonly fenced: FencedLog
  readonly #coverage: Coverage

  constructor(coverage: Coverage, flaws: LogFlaws = {}) {
    this.#coverage = coverage
    this.fenced = new FencedLog(this, coverage, flaws)
  }

  /** `how` 0 is a broker that is well; other values pick a fault. */
  publish(rows: readonly OutboxRow[], how: number): Fate[] {
    if (this.down.has(rows[0]!.channel)) return rows.map(() => down)
    const breaker = rows.findIndex((row) => this.poison.get(row.id) === 'breaker')
    if (breaker >= 0) {
      // What stands before it in the batch may have arrived; nobody is told.
      this.#arrive(rows.slice(0, how % (breaker + 1)))
      return rows.map(() => unknown)
    }
    const cut = how % (rows.length + 1)
    switch (how % 12) {
      case 1:
        return rows.map(() => unknown)
      case 2:
        this.#arrive(rows)
        return rows.map(() => unknown)
      case 3:
        this.#coverage.saw('arrived after its time-out')
        this.straggling.push(rows)
        return rows.map(() => unknown)
      case 4:
        return this.#oneByOne(rows, how % rows.length, true)
      case 5:
        return this.#oneByOne(rows, how % rows.length, false)
      case 6: {
        const fates = this.#oneByOne(rows.slice(0, cut), -1, true)
        return [...fates, ...rows.slice(cut).map(() => unknown)]
      }
      case 7:
        if (cut < rows.length) this.#coverage.saw('no answer for some')
        return this.#oneByOne(rows, -1, true).slice(0, cut)
      case 8:
        return rows.map(() => down)
      default:
        return this.#oneByOne(rows, -1, true)
    }
  }

  /** Once, and nobody is asked whether it arrived. */
  dispatch(rows: readonly OutboxRow[], how: number): OnceResult[] {
    if (this.down.has(rows[0]!.channel) || how % 8 === 1) return rows.map(() => dropped)
    const cut = how % 8 === 2 ? how % (rows.length + 1) : rows.length
    return rows.slice(0, how % 8 === 3 ? cut - 1 : cut).map((row) => {
      if (this.poison.has(row.id)) return dropped
      this.#arrive([row])
      return null
    })
  }

  straggle(pick: number): void {
    this.fenced.straggle(pick)
    if (this.straggling.length === 0) return
    this.#arrive(this.straggling.splice(pick % this.straggling.length, 1)[0]!)
  }

  #oneByOne(rows: readonly OutboxRow[], failing: number, isRetryable: boolean): Fate[] {
    const failed = new Set<string>()
    return rows.map((row, i) => {
      const name = row.key === null ? null : lockOf(row.channel, row.key)
      if (name !== null && failed.has(name)) {
        this.#coverage.saw('suffix failed')
        return rejected(afterFailure, true)
      }
      const poison = this.poison.get(row.id)
      if (i !== failing && poison === undefined) {
        this.#arrive([row])
        return confirmed
      }
      if (name !== null) failed.add(name)
      return rejected('REFUSED', poison === undefined ? isRetryable : poison === 'reject')
    })
  }

  #arrive(rows: readonly OutboxRow[]): void {
    this.arrivals.push(...rows)
  }
}
