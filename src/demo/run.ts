import { randomBytes } from 'node:crypto'
import { setTimeout as pause } from 'node:timers/promises'
import { many, WaybillError } from '../index.ts'
import { kafkaTransport } from '../kafka.ts'
import type { AddressDesk } from '../testing.ts'
import { Company } from './company.ts'
import type { Query } from './database.ts'
import { openInstance, type Instance } from './instance.ts'
import { findFaults } from './judge.ts'
import { reportOf, type DemoReport } from './report.ts'
import { createShop, dropSchemas } from './schema.ts'
import { settingsFor, type DemoSettings, type LeftOut } from './settings.ts'
import { isDrained, readStatistics, type Statistics } from './statistics.ts'
import type { DemoView, Phase } from './view.ts'

export interface DemoOptions {
  readonly databaseUrl: string
  /** `null`: the `local` transport. */
  readonly brokers: readonly string[] | null
  /** How soon the broker may give the partitions of a killed consumer to the other one. */
  readonly sessionTimeoutMs: number
  /** How long orders are placed, and longer where the machine places hardly any. */
  readonly seconds: number
  readonly isKilling: boolean
  readonly without: LeftOut | null
  /** For what is left to chance: who is killed, who orders, what rolls back. */
  readonly seed: number
  readonly signal: AbortSignal
  readonly onView: (view: DemoView) => void
  /** Something it made could not be taken away again. */
  readonly onLeftBehind: (what: string, error: unknown) => void
}

const drainDeadlineMs = 60_000
/**
 * A run in which less than a twentieth of the orders were placed that were meant, or in which somebody was spared that has time to be
 * killed, shows little, and so does one without the inbox in which nothing was shipped twice so far; it goes on for so long at most.
 */
const patienceMs = 60_000

/**
 * Runs the workflow, kills its processes, drains, judges, and takes away what it made. Rejects with `WB_ABORTED` when the
 * signal aborts, in any phase, after the same cleaning; with `WB_DEMO_FAILED` where a process keeps ending by itself.
 */
export async function runDemo(options: DemoOptions): Promise<DemoReport> {
  const run = new Run(options)
  try {
    return await run.run()
  } catch (error) {
    throw run.reasonFor(error)
  } finally {
    await run.clean()
  }
}

class Run {
  readonly #options: DemoOptions
  readonly #settings: DemoSettings
  /** The demo's own end of Waybill: it asks the questions and places no orders. */
  readonly #office: Instance
  readonly #query: Query
  readonly #company: Company
  readonly #broken = new AbortController()
  /** The caller's signal, or a child that keeps ending. */
  readonly #signal: AbortSignal
  #topics: AddressDesk | null = null
  #hasSchemas = false
  #phase: Phase = 'starting'
  #openedAt = 0
  #closedAt = 0
  #statistics: Statistics = { orders: 0, shipments: 0, copies: 0, depth: 0, lagMs: 0 }

  constructor(options: DemoOptions) {
    this.#options = options
    this.#signal = AbortSignal.any([options.signal, this.#broken.signal])
    this.#settings = settingsFor(options, randomBytes(4).toString('hex'))
    this.#office = openInstance(this.#settings, 'office')
    this.#query = async (text, values) =>
      (await this.#office.waybill.transaction((tx) => tx.query(text, values))).rows
    this.#company = new Company(this.#settings, options.seed, (error) => {
      this.#broken.abort(error)
    })
  }

  async run(): Promise<DemoReport> {
    // Nobody waits for a process that is asked to hurry: killed, it ends whatever waits for it.
    const onAbort = (): void => void this.#company.end()
    this.#signal.addEventListener('abort', onAbort, { once: true })
    const watching = new AbortController()
    const watched = this.#watch(AbortSignal.any([watching.signal, this.#signal]))
    try {
      await this.#prepare()
      await this.#play()
      const hasDrained = await this.#drain()
      this.#enter('judging')
      await this.#company.stop()
      this.#signal.throwIfAborted()
      return await this.#judge(hasDrained)
    } finally {
      this.#signal.removeEventListener('abort', onAbort)
      watching.abort()
      await watched
    }
  }

  /** Leaves no process, no schema and no topic behind. A verdict stands all the same where a server does not let it. */
  async clean(): Promise<void> {
    await this.#company.end()
    const { schemas, topic, consumer } = this.#settings
    const attempt = async (what: string, work: Promise<void> | undefined): Promise<void> => {
      await work?.catch((error: unknown) => {
        // Nothing was made where the database could not even be reached.
        if (this.#hasSchemas) this.#options.onLeftBehind(what, error)
      })
    }
    await Promise.all([
      attempt(`the schemas ${schemas.shop} and ${schemas.waybill}`, dropSchemas(this.#query, schemas)),
      attempt(`the topic ${topic}`, this.#topics?.remove([topic], [consumer])),
    ])
    await this.#office.waybill[Symbol.asyncDispose]()
    await this.#topics?.close()
  }

  /** Whatever failed because everything was stopped, failed for that reason. */
  reasonFor(error: unknown): unknown {
    if (this.#broken.signal.aborted) return this.#broken.signal.reason
    if (!this.#signal.aborted) return error
    return new WaybillError('WB_ABORTED', 'The demo was stopped before its end.', {
      cause: error,
    })
  }

  async #prepare(): Promise<void> {
    const { brokers, schemas, customers, topic } = this.#settings
    await this.#office.waybill.migrate()
    this.#hasSchemas = true
    this.#signal.throwIfAborted()
    await createShop(this.#query, schemas.shop, customers)
    this.#signal.throwIfAborted()
    if (brokers !== null) {
      this.#topics = await kafkaTransport({ brokers }).openDesk!('waybill demo')
      await this.#topics.create(topic, 6)
    }
    this.#signal.throwIfAborted()
    await this.#company.start()
  }

  /** Orders are placed and shipped, and once a second somebody is killed. */
  async #play(): Promise<void> {
    const { seconds, isKilling, without } = this.#options
    this.#openedAt = performance.now()
    const end = this.#openedAt + seconds * 1000
    const enough = (seconds * this.#settings.ordersPerSecond) / 20
    const kills = isKilling ? this.#company.killsDue(seconds) : 0
    const isOver = (): boolean => {
      const now = performance.now()
      const { orders, copies } = this.#statistics
      const hasShown = copies > 0 || without !== 'inbox' || !isKilling
      const isEnough = hasShown && orders >= enough && this.#company.kills >= kills
      return now >= end && (isEnough || now >= end + patienceMs)
    }
    this.#enter('running')
    if (isKilling) await this.#company.killUntil(isOver, () => this.#statistics.orders, this.#signal)
    while (!isOver()) await pause(100, undefined, { signal: this.#signal })
    await this.#company.closeShop()
    this.#closedAt = performance.now()
  }

  /** Whether everything that was sent has been handled. */
  async #drain(): Promise<boolean> {
    this.#enter('draining')
    const { waybill, orderPlaced } = this.#office
    const { schemas, customers } = this.#settings
    const marks = Array.from(
      { length: customers },
      (_, i) => ({ orderId: '', customerId: i + 1, isLast: true }) as const,
    )
    await waybill.transaction((tx) => waybill.publish(tx, orderPlaced, many(marks)))
    const deadline = this.#closedAt + drainDeadlineMs
    while (performance.now() < deadline) {
      if (await isDrained(this.#query, schemas)) return true
      await pause(100, undefined, { signal: this.#signal })
    }
    return false
  }

  async #judge(hasDrained: boolean): Promise<DemoReport> {
    const drainMs = performance.now() - this.#closedAt
    const findings = await findFaults(this.#query, this.#settings.schemas.shop)
    return reportOf(this.#options, findings, {
      kills: this.#company.kills,
      killed: this.#company.killsByName(),
      duplicatesSuppressed: this.#company.duplicatesSuppressed,
      hasDrained,
      openMs: this.#closedAt - this.#openedAt,
      drainMs,
    })
  }

  #enter(phase: Phase): void {
    this.#signal.throwIfAborted()
    this.#phase = phase
    this.#options.onView(this.#view())
  }

  async #watch(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      if (this.#phase !== 'starting') {
        // A look that fails is no matter: the next one tells.
        this.#statistics = await readStatistics(this.#query, this.#settings.schemas).catch(
          () => this.#statistics,
        )
      }
      if (signal.aborted) return
      this.#options.onView(this.#view())
      await pause(200, undefined, { signal }).catch(() => {})
    }
  }

  #view(): DemoView {
    const { seconds } = this.#options
    const until = this.#closedAt === 0 ? performance.now() : this.#closedAt
    const elapsed = this.#openedAt === 0 ? 0 : (until - this.#openedAt) / 1000
    const { kills, duplicatesSuppressed, lastKilled } = this.#company
    return {
      ...this.#statistics,
      phase: this.#phase,
      elapsedSeconds: elapsed,
      seconds,
      kills,
      duplicatesSuppressed,
      lastKilled,
      processes: this.#company.states(),
    }
  }
}
