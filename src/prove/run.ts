import { randomBytes } from 'node:crypto'
import { setTimeout as pause } from 'node:timers/promises'
import { type Guarantee, type Waybill, WaybillError } from '../index.ts'
import {
  chanceOf,
  type HistoryEvent,
  type PostgresServer,
  type Proxy,
  startProxy,
  until,
} from '../testing.ts'
import { catalogOf, type FaultClass, type PlannedFault } from './catalog.ts'
import { Company } from './company.ts'
import type { Client, Query } from '../demo/database.ts'
import { evidenceOf } from './evidence.ts'
import { openInstance } from './instance.ts'
import { createLoad, dropSchemas, moneyText, startBalance } from './load-tables.ts'
import { type ProofReport, reportOf } from './report.ts'
import { keepHistory, mergedHistory } from './merged-history.ts'
import { mostRecoveryMs, notRun, type Row, rowsOf, type Spell } from './rows.ts'
import { sharesOf, shuffled } from './schedule.ts'
import { keysPerTrack, type ProveSettings } from './settings.ts'
import { type Track, tracksOf } from './tracks.ts'
import type { Phase, ProofView } from './view.ts'

export interface ProofOptions {
  readonly databaseUrl: string
  /** Where it was started for the run, and may be killed. */
  readonly server: PostgresServer | null
  readonly guarantees: readonly Guarantee[]
  readonly faults: readonly FaultClass[]
  /** The whole time. */
  readonly seconds: number
  /** For what is left to chance: which fault comes when, who writes what. */
  readonly seed: number
  readonly signal: AbortSignal
  readonly onView: (view: ProofView) => void
  /** Something it made could not be taken away again. */
  readonly onLeftBehind: (what: string, error: unknown) => void
}

/**
 * Runs the load, first without a fault and then with one after the other, lets everything end, and judges each guarantee by what
 * happened. Rejects with `WB_ABORTED` when the signal aborts, with `WB_PROOF_FAILED` where a process keeps ending by itself.
 */
export async function runProof(options: ProofOptions): Promise<ProofReport> {
  await using run = new Run(options)
  return await run.run()
}

class Run implements AsyncDisposable {
  readonly #options: ProofOptions
  readonly #settings: ProveSettings
  readonly #tracks: readonly Track[]
  readonly #office: Waybill<Client>
  readonly #query: Query
  readonly #broken = new AbortController()
  readonly #signal: AbortSignal
  readonly #startedAt = performance.now()
  readonly #spells: Spell[] = []
  readonly #readings: HistoryEvent[] = []
  #links: Readonly<Record<'consumers' | 'writer', Proxy>> | null = null
  #company: Company | null = null
  #phase: Phase = 'starting'
  #fault: string | null = null
  #offset = 0
  #hasSchemas = false
  #figures = { committed: 0, effects: 0, waiting: 0, lagMs: 0 }

  constructor(options: ProofOptions) {
    this.#options = options
    this.#signal = AbortSignal.any([options.signal, this.#broken.signal])
    const id = `waybill_prove_${randomBytes(4).toString('hex')}`
    this.#settings = {
      id,
      databaseUrl: options.databaseUrl,
      schema: id,
      loadSchema: `${id}_load`,
      guarantees: options.guarantees,
      perSecond: 100,
      leaseMs: 2000,
      canary: `canary-${randomBytes(6).toString('hex')}`,
    }
    this.#tracks = tracksOf(id, options.guarantees)
    this.#office = openInstance(this.#settings, 'office')
    this.#query = async (text, values) =>
      (await this.#office.transaction((tx) => tx.query(text, values))).rows
  }

  async run(): Promise<ProofReport> {
    const { seconds, faults, seed } = this.#options
    const shares = sharesOf(seconds)
    await this.#prepare()
    const { signal } = this.#broken
    const company = this.#company!
    const watching = this.#watch()
    await company.start()
    const baselineFrom = now()
    this.#enter('baseline')
    await this.#rest(shares.baselineMs)
    await this.#read()
    await this.#note('none', baselineFrom, true)
    const chance = chanceOf(seed)
    const { databaseUrl, server } = this.#options
    const catalog = catalogOf({
      company,
      server,
      databaseUrl,
      links: this.#links!,
      leaseMs: this.#settings.leaseMs,
      chance,
    }).filter((planned) => faults.includes(planned.class))
    const order = shuffled(catalog, chance)
    const left: PlannedFault[] = []
    this.#enter('faults')
    for (const planned of order) {
      const remaining = seconds * 1000 - (performance.now() - this.#startedAt) - shares.endMs
      if (planned.holdMs + shares.quietMs > remaining) left.push(planned)
      else await this.#suffer(planned, shares.quietMs)
    }
    this.#enter('draining')
    await company.stopWriting()
    const isDrained = await this.#drain()
    await this.#read()
    this.#enter('judging')
    await company.stop()
    signal.throwIfAborted()
    const { rows, histories } = await this.#judge(isDrained, left)
    this.#enter('over')
    await watching
    const report = reportOf({ ...this.#options, rows, said: company.said, secrets: [this.#settings.canary] })
    if (report.verdict !== 'invalid') return { ...report, history: null }
    const merged = mergedHistory(histories, this.#readings, this.#spells)
    return { ...report, history: keepHistory(this.#settings.id, merged) }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#company?.[Symbol.asyncDispose]()
    if (this.#hasSchemas) {
      const { schema, loadSchema } = this.#settings
      await dropSchemas(this.#query, [loadSchema, schema]).catch((error: unknown) => {
        this.#options.onLeftBehind(`the schemas ${loadSchema} and ${schema}`, error)
      })
    }
    await this.#office[Symbol.asyncDispose]()
    for (const link of Object.values(this.#links ?? {})) await link.stop()
  }

  async #prepare(): Promise<void> {
    const { databaseUrl, seed } = this.#options
    const { loadSchema } = this.#settings
    await this.#office.migrate()
    this.#hasSchemas = true
    await createLoad(
      this.#query,
      loadSchema,
      this.#tracks.map(({ name }) => name),
    )
    const [row] = await this.#query('select (extract(epoch from clock_timestamp()) * 1e6)::float8 as t')
    this.#offset = now() - Number(row!['t'])
    const url = new URL(databaseUrl)
    const target = { host: url.hostname, port: Number(url.port || 5432) }
    this.#links = { consumers: await startProxy(target), writer: await startProxy(target) }
    const through = (link: Proxy): { databaseUrl: string } => {
      const own = new URL(databaseUrl)
      own.hostname = '127.0.0.1'
      own.port = String(link.port)
      return { databaseUrl: own.href }
    }
    this.#company = new Company(
      this.#settings,
      seed,
      [
        { role: 'consumer', name: 'consumer-1', settings: through(this.#links.consumers) },
        { role: 'consumer', name: 'consumer-2', settings: through(this.#links.consumers) },
        { role: 'writer', name: 'writer', settings: through(this.#links.writer) },
      ],
      (error) => {
        this.#broken.abort(error)
      },
    )
  }

  async #suffer({ fault, holdMs }: PlannedFault, quietMs: number): Promise<void> {
    this.#fault = fault.name
    const from = now()
    const active = await fault.inject()
    try {
      await this.#rest(holdMs)
    } finally {
      await active.heal()
    }
    await this.#note(fault.name, from, active.hasStruck)
    this.#fault = null
    await this.#rest(quietMs)
    await this.#read()
  }

  /** The fault is over; it is waited for what was under way, so that the next one is not charged with it. */
  async #note(fault: string, from: number, hasStruck: boolean): Promise<void> {
    const to = now()
    await this.#becomesQuiet(to)
    this.#spells.push({ fault, from, to, hasStruck, quietAt: now() })
  }

  async #becomesQuiet(at: number): Promise<void> {
    const { schema } = this.#settings
    const text = `
      select (select count(*) from ${schema}.outbox where created_at <= to_timestamp($1::float8 / 1e6))::int
        + (select count(*) from ${schema}.taken)::int as n`
    const look = async (): Promise<boolean> => {
      const rows = await this.#query(text, [at - this.#offset]).catch(() => null)
      return rows?.[0]?.['n'] === 0
    }
    try {
      await until('quiet', look, { timeoutMs: mostRecoveryMs, everyMs: 50, signal: this.#signal })
    } catch (error) {
      this.#signal.throwIfAborted()
      // It is the rows' to say.
      if (!(error instanceof WaybillError) || error.code !== 'WB_TIMED_OUT') throw error
    }
  }

  /** All money of what is kept exactly once. A reading that fails is none. */
  async #read(): Promise<void> {
    for (const { name, guarantee } of this.#tracks) {
      if (guarantee !== 'exactly-once') continue
      const rows = await this.#query(moneyText(this.#settings.loadSchema), [name]).catch(() => null)
      const rest = { process: 'prove', f: 'reading', key: name, seq: null, id: null, t: now() } as const
      this.#readings.push(
        rows === null ? { ...rest, type: 'fail' } : { ...rest, type: 'ok', value: Number(rows[0]!['sum']) },
      )
    }
  }

  /** Whether nothing is left in outbox, hands and ledgers before the deadline. */
  async #drain(): Promise<boolean> {
    const { schema } = this.#settings
    const left = `select (select count(*) from ${schema}.outbox)::int + (select count(*) from ${schema}.taken)::int as n`
    try {
      await until('the drain', async () => (await this.#query(left))[0]!['n'] === 0, {
        timeoutMs: 30_000,
        everyMs: 50,
        signal: this.#signal,
      })
      return true
    } catch (error) {
      this.#signal.throwIfAborted()
      if (error instanceof WaybillError && error.code === 'WB_TIMED_OUT') return false
      throw error
    }
  }

  async #judge(
    isDrained: boolean,
    left: readonly PlannedFault[],
  ): Promise<{ readonly rows: readonly Row[]; readonly histories: readonly (readonly HistoryEvent[])[] }> {
    const told = this.#company!.history()
    const rows: Row[] = []
    const histories: (readonly HistoryEvent[])[] = []
    for (const { name, guarantee, follow } of this.#tracks) {
      const history = await evidenceOf(this.#query, this.#settings, name, told, this.#offset)
      histories.push(history)
      const readings = this.#readings.filter(({ key }) => key === name)
      const money = keysPerTrack * startBalance
      const track = { guarantee, history, readings, money, hasFollow: follow !== null }
      rows.push(...rowsOf(track, this.#spells, isDrained))
      for (const { fault } of left) {
        rows.push(notRun(guarantee, fault.name))
      }
    }
    return { rows, histories }
  }

  #enter(phase: Phase): void {
    this.#signal.throwIfAborted()
    this.#phase = phase
    this.#options.onView(this.#view())
  }

  async #rest(ms: number): Promise<void> {
    await pause(ms, undefined, { signal: this.#signal })
  }

  async #watch(): Promise<void> {
    while (this.#phase !== 'over' && !this.#signal.aborted) {
      // A look that fails is no matter: the next one tells.
      await this.#look().catch(() => {})
      if (this.#signal.aborted) return
      this.#options.onView(this.#view())
      await pause(200, undefined, { signal: this.#signal }).catch(() => {})
    }
  }

  async #look(): Promise<void> {
    const { schema, loadSchema } = this.#settings
    const [row] = await this.#query(`
      select (select count(*) from ${loadSchema}.orders)::int as committed, (select count(*) from ${loadSchema}.effects)::int as effects,
        count(*)::int as waiting, coalesce(extract(epoch from clock_timestamp() - min(created_at)) * 1000, 0)::int as lag
      from ${schema}.outbox`)
    const { committed, effects, waiting, lag } = row as Record<
      'committed' | 'effects' | 'waiting' | 'lag',
      number
    >
    this.#figures = { committed, effects, waiting, lagMs: lag }
  }

  #view(): ProofView {
    return {
      phase: this.#phase,
      fault: this.#fault,
      elapsedSeconds: (performance.now() - this.#startedAt) / 1000,
      seconds: this.#options.seconds,
      processes: this.#company?.states ?? [],
      faults: Math.max(0, this.#spells.length - 1),
      ...this.#figures,
    }
  }
}

/** Microseconds, as the history has them. */
function now(): number {
  return Number(process.hrtime.bigint() / 1000n)
}
