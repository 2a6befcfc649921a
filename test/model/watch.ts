import type { OutboxRow } from '../../src/ports/outbox.ts'
import type { Fate } from '../../src/ports/transport.ts'
import type { Command, MindOptions } from '../../src/relay/mind/types.ts'
import { Broken } from './broken.ts'
import { afterFailure } from './broker.ts'
import type { Database } from './database.ts'

/** Names a lease as its holder knows it. Not by the epoch: a fail-over may hand that out again. */
export type LeaseName = (partition: number) => string | null

/** What was sent of one row under one lease. */
interface Sent {
  times: number
  /** Fates but `confirmed`, restarts and fail-overs (those too that came between its read and its send): one copy more each. */
  excuses: number
  failovers: number
  restarts: number
  isUnderway: boolean
  isLastFateItsOwn: boolean
  isLastFateFinal: boolean
}

export interface Watched {
  readonly rows: readonly OutboxRow[]
  readonly sent: readonly Sent[]
  readonly keys: ReadonlySet<string>
}

const shape = 'a send is of one channel, held rows, and one run of each key'

/** Looks at every command a mind gives and every fate it is told. */
export class Watch {
  readonly #database: Database
  readonly #options: MindOptions
  readonly #sent = new Map<string, Sent>()
  readonly #keysUnderway = new Set<string>()
  readonly unknowns: Map<string, number> = new Map()
  readonly refusals: Map<string, number> = new Map()
  /** How often a row came back as a new one: replayed, or its line taken away. */
  readonly restarts: Map<string, number> = new Map()

  constructor(database: Database, options: MindOptions) {
    this.#database = database
    this.#options = options
  }

  sends(lease: LeaseName, command: Extract<Command, { type: 'send' }>): Watched {
    const { rows, channel } = command
    if (rows.length === 0 || rows.length > this.#options.batchSize)
      throw new Broken(shape, `${rows.length} rows`)
    const runs = new Map<string, OutboxRow>()
    const sent = rows.map((row) => {
      if (row.channel !== channel) throw new Broken(shape, `${row.id} is of ${row.channel}, not ${channel}`)
      const held = lease(row.partition)
      if (held === null) throw new Broken(shape, `${row.id} is of a partition that is not held`)
      if (row.key !== null) {
        const name = `${held}/${channel}/${row.key}`
        const before = runs.get(name)
        if (before !== undefined && (before.seq >= row.seq || !this.#options.ordersBatch)) {
          throw new Broken(shape, `${row.id} beside ${before.id}`)
        }
        runs.set(name, row)
      }
      return this.#sends(held, row)
    })
    for (const name of runs.keys()) {
      if (this.#keysUnderway.has(name)) throw new Broken(shape, `${name} is in two sends`)
      this.#keysUnderway.add(name)
    }
    return { rows, sent, keys: new Set(runs.keys()) }
  }

  ended({ rows, sent, keys }: Watched, fates: readonly Fate[]): void {
    for (const name of keys) this.#keysUnderway.delete(name)
    rows.forEach(({ id }, i) => {
      const fate = fates[i] ?? { outcome: 'unknown' }
      const one = sent[i]!
      one.isUnderway = false
      if (fate.outcome === 'confirmed') return
      one.excuses += 1
      const isRefused = fate.outcome === 'rejected' && fate.scope === 'message' && fate.code !== afterFailure
      one.isLastFateItsOwn = isRefused || (fate.outcome === 'unknown' && rows.length === 1)
      one.isLastFateFinal = isRefused && !fate.retryable
      if (fate.outcome === 'unknown') this.unknowns.set(id, (this.unknowns.get(id) ?? 0) + 1)
      if (isRefused) this.refusals.set(id, (this.refusals.get(id) ?? 0) + 1)
    })
  }

  writes(lease: LeaseName, command: Extract<Command, { type: 'block' | 'bury' }>): void {
    const own = 'lines and dead letters are of messages that failed themselves'
    const limit = 'attempts never exceed their limit'
    const { maxAttempts } = [...this.#options.channels.values()][0]!
    for (const line of command.type === 'block' ? command.lines : command.letters) {
      const sent = this.#of(lease(line.partition) ?? '', line)
      if (!sent.isLastFateItsOwn) throw new Broken(own, `${command.type} of ${line.id}`)
      const isGivenUp = 'reason' in line || line.retryInMs === null
      const isFinal = 'reason' in line ? line.reason === 'rejected' : sent.isLastFateFinal
      if (!isGivenUp) {
        if (line.attempts >= maxAttempts)
          throw new Broken(limit, `a line of ${line.id} after ${line.attempts}`)
      } else if (isFinal) {
        if (!sent.isLastFateFinal) throw new Broken(own, `${line.id} given up though it might pass`)
      } else if (line.attempts !== maxAttempts) {
        throw new Broken(limit, `${line.id} given up after ${line.attempts} attempts`)
      }
    }
  }

  #sends(held: string, row: OutboxRow): Sent {
    const { failovers } = this.#database
    const restarts = this.restarts.get(row.id) ?? 0
    const sent = this.#of(held, row)
    sent.excuses += failovers - sent.failovers + restarts - sent.restarts
    Object.assign(sent, { failovers, restarts, times: sent.times + 1 })
    if (sent.isUnderway) throw new Broken('nothing twice without a fault', `${row.id} is being sent already`)
    sent.isUnderway = true
    if (sent.times > 1 + sent.excuses) {
      const detail = `${row.id} sent ${sent.times} times under the lease ${held}`
      throw new Broken('nothing twice without a fault', detail)
    }
    return sent
  }

  #of(held: string, row: { readonly seq: bigint; readonly id: string }): Sent {
    const name = `${held}/${row.seq}/${row.id}`
    let sent = this.#sent.get(name)
    if (sent === undefined) {
      const counts = {
        times: 0,
        excuses: 0,
        failovers: 0,
        restarts: this.restarts.get(row.id) ?? 0,
      }
      sent = { ...counts, isUnderway: false, isLastFateItsOwn: false, isLastFateFinal: false }
      this.#sent.set(name, sent)
    }
    return sent
  }
}
