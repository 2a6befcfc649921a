import { setTimeout as pause } from 'node:timers/promises'
import { type Guarantee, WaybillError } from '../index.ts'
import { type Chance, chanceOf, type HistoryEvent, type PostgresServer, type SmallDisk } from '../testing.ts'
import { Calm } from './calm.ts'
import { type Catalog, catalogOf, type Missing, type PlannedFault } from './catalog.ts'
import { checkChoices, isChosen } from './fault-choice.ts'
import type { KafkaPlace } from './kafka-place.ts'
import { keepHistory, keepSaid } from './kept-files.ts'
import { moneyText, startBalance } from './load-tables.ts'
import { Marks } from './marks.ts'
import { type Memory, memoryOf } from './memory.ts'
import { mergedHistory } from './merged-history.ts'
import { mergedRows } from './merged-rows.ts'
import type { Remnants } from './remnants.ts'
import { type ProofReport, reportOf } from './report.ts'
import {
  isInjected,
  mostRecoveryMs,
  mostStartMs,
  noFault,
  noTime,
  notRun,
  type Row,
  rowsOf,
  type Spell,
  startSpell,
} from './rows.ts'
import { inTurns, repeatingFirst, type Shares, sharesOf, shuffled } from './schedule.ts'
import { lendSession } from './service/lent-session.ts'
import { keysPerTrack, secretsOf, sessionsOf } from './settings.ts'
import { now, Stage, type Subject } from './stage.ts'
import { noticeSlow, noticeStalls, type Stall, stallsOf } from './stalls.ts'
import type { Phase, ProofView } from './view.ts'

export interface ProofOptions {
  /** `null`: as the user's configuration says. */
  readonly databaseUrl: string | null
  /** What of the user's own is proven. @default nothing: the load is the run's own */
  readonly subject?: Subject | null
  /** Where it was started for the run, and may be killed. */
  readonly server: PostgresServer | null
  /** On which it has its data. */
  readonly disk: SmallDisk | Missing
  /** `null`: the `local` transport. */
  readonly kafka: KafkaPlace | null
  readonly guarantees: readonly Guarantee[]
  /** Classes, kinds and names. */
  readonly faults: readonly string[]
  /** The whole time. */
  readonly seconds: number
  /** For what is left to chance: which fault comes when, who writes what. */
  readonly seed: number
  readonly signal: AbortSignal
  /** Added to the environment of every process. @default none */
  readonly env?: Readonly<Record<string, string>>
  readonly onView: (view: ProofView) => void
  /** Something it made could not be taken away again. */
  readonly onLeftBehind: (what: string, error: unknown) => void
  /** What is there of runs which were killed. @default nobody is told */
  readonly onRemnants?: (remnants: Remnants) => void
}

/**
 * Runs the load, first without a fault and then with one after the other, lets everything end, and judges each guarantee by what
 * happened. Rejects with `WB_ABORTED` when the signal aborts, with `WB_PROOF_FAILED` where a process keeps ending by itself.
 */
export async function runProof(options: ProofOptions): Promise<ProofReport> {
  const broken = new AbortController()
  try {
    await using stage = new Stage({
      ...options,
      subject: options.subject ?? null,
      onBroken: (error) => {
        broken.abort(error)
      },
    })
    return await new Run(options, stage, AbortSignal.any([options.signal, broken.signal])).run()
  } catch (cause) {
    // Whatever failed because everything was stopped, failed for that reason.
    if (broken.signal.aborted) throw broken.signal.reason
    if (!options.signal.aborted) throw cause
    throw new WaybillError('WB_ABORTED', 'The proof was stopped before its end.', { cause })
  }
}

class Run {
  readonly #options: ProofOptions
  readonly #stage: Stage
  readonly #signal: AbortSignal
  readonly #calm: Calm
  readonly #marks: Marks
  readonly #startedAt = performance.now()
  readonly #spells: Spell[] = []
  readonly #readings: HistoryEvent[] = []
  readonly #stalls: Stall[] = []
  #phase: Phase = 'starting'
  #fault: string | null = null
  #figures = { committed: 0, effects: 0, waiting: 0, lagMs: 0 }

  constructor(options: ProofOptions, stage: Stage, signal: AbortSignal) {
    this.#options = options
    this.#stage = stage
    this.#signal = signal
    const { office, query, settings, tracks, ownTracks } = stage
    this.#marks = new Marks(office, query, settings, ownTracks)
    this.#calm = new Calm({
      ...{ query, settings, tracks, marks: this.#marks, signal },
      mostDrainMs: Math.max(120_000, options.seconds * 1000),
    })
  }

  async run(): Promise<ProofReport> {
    const over = new AbortController()
    await this.#stage.set()
    this.#signal.throwIfAborted()
    // Nobody waits for a process that is asked to hurry: killed, it ends whatever waits for it.
    const onAbort = (): void => void this.#stage.company.end()
    this.#signal.addEventListener('abort', onAbort, { once: true })
    using _noticing = noticeStalls((ms) => {
      this.#stood(ms)
    })
    const watching = this.#watch(AbortSignal.any([over.signal, this.#signal]))
    try {
      return await this.#play()
    } finally {
      this.#signal.removeEventListener('abort', onAbort)
      over.abort()
      await watching
    }
  }

  async #play(): Promise<ProofReport> {
    const { seconds, seed } = this.#options
    const shares = sharesOf(seconds)
    const chance = chanceOf(seed)
    // Now, since it refuses what is no fault here.
    const { planned, missing } = this.#catalog(chance)
    const { company, settings } = this.#stage
    await company.start(() => this.#stage.settled(this.#signal))
    const startedAt = now()
    await this.#rest(shares.startMs)
    await this.#calm.begun()
    await this.#note(startSpell, startedAt, true)
    // What comes again because of it comes a moment later.
    await this.#rest(shares.startMs)
    const baselineFrom = now()
    this.#enter('baseline')
    await this.#rest(shares.baselineMs)
    await this.#read()
    await this.#note(noFault, baselineFrom, true)
    // As behind a fault: what the last of it has done is to be settled before the first one comes.
    await this.#rest(shares.quietMs)
    this.#enter('faults')
    const unseen = await this.#sufferAll(planned, shares, chance)
    const left = new Map([
      ...missing.map((one) => [one.name, one.missing] as const),
      ...unseen.map((name) => [name, noTime] as const),
    ])
    this.#enter('draining')
    await company.stopWriting()
    const isDrained = await this.#calm.drained()
    await this.#read()
    this.#enter('judging')
    await company.stop()
    this.#signal.throwIfAborted()
    const { histories, ...judged } = await this.#judge(isDrained, left)
    this.#enter('over')
    const handlersSpeak = settings.service !== null
    const { said, exits } = company
    const secrets = secretsOf(settings)
    const report = reportOf({ seed, seconds, ...judged, said, exits, secrets, handlersSpeak })
    if (report.verdict !== 'invalid') return { ...report, history: null, said: null }
    const merged = mergedHistory(histories, this.#readings, this.#spells)
    const { id } = settings
    return { ...report, history: keepHistory(id, merged), said: keepSaid(id, said, secrets) }
  }

  /** What there is to suffer. */
  #catalog(chance: Chance): Catalog {
    const { databaseUrl, server, disk, kafka, faults } = this.#options
    const { company, clocks, links, settings, office } = this.#stage
    const { leaseMs } = settings
    const database = databaseUrl ?? (() => lendSession(office))
    const servers = { server, disk, database, kafka, links: links.all }
    const { planned, missing } = catalogOf({
      company,
      clocks,
      ...servers,
      sessions: sessionsOf(settings),
      leaseMs,
      chance,
    })
    checkChoices(faults, [...planned.map((one) => ({ ...one, name: one.fault.name })), ...missing])
    return {
      planned: planned.filter((one) => isChosen(faults, { ...one, name: one.fault.name })),
      missing: missing.filter((one) => isChosen(faults, one)),
    }
  }

  /**
   * All of them in an order of chance in which each class has its turn soon, and again in another one as long as there is time. Answers
   * the names of those there was none for.
   */
  async #sufferAll(
    planned: readonly PlannedFault[],
    { quietMs, endMs }: Shares,
    chance: Chance,
  ): Promise<readonly string[]> {
    const seen = new Set<string>()
    for (let fitting = planned; fitting.length > 0;) {
      const fitted: PlannedFault[] = []
      for (const each of this.#ordered(fitting, chance)) {
        const remaining = this.#options.seconds * 1000 - (performance.now() - this.#startedAt) - endMs
        if (each.holdMs + quietMs > remaining) continue
        await this.#suffer(each, quietMs)
        seen.add(each.fault.name)
        fitted.push(each)
      }
      fitting = fitted
    }
    return planned.map(({ fault }) => fault.name).filter((name) => !seen.has(name))
  }

  #ordered(faults: readonly PlannedFault[], chance: Chance): readonly PlannedFault[] {
    const order = inTurns(shuffled(faults, chance), (one) => one.class)
    return this.#stage.wantsRepeats ? repeatingFirst(order, ({ fault }) => fault.name) : order
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
    // What a handler fails for again and again never ends: no more than half of a short run goes by.
    const startMs = Math.max(mostRecoveryMs, Math.min(mostStartMs, this.#options.seconds * 500))
    await this.#calm.quiet(to - this.#stage.offset, isInjected(fault) ? mostRecoveryMs : startMs)
    this.#spells.push({ fault, from, to, hasStruck, quietAt: now() })
  }

  /** All money of what is kept exactly once. A reading that fails is none. */
  async #read(): Promise<void> {
    const { tracks, settings, query } = this.#stage
    for (const { name, hasMoney } of tracks) {
      if (!hasMoney) continue
      const rows = await query(moneyText(settings.loadSchema), [name]).catch(() => null)
      const rest = { process: 'prove', f: 'reading', key: name, seq: null, id: null, t: now() } as const
      this.#readings.push(
        rows === null ? { ...rest, type: 'fail' } : { ...rest, type: 'ok', value: Number(rows[0]!['sum']) },
      )
    }
  }

  async #judge(
    isDrained: boolean,
    /** Why faults did not run. */
    left: ReadonlyMap<string, string>,
  ): Promise<{
    readonly rows: readonly Row[]
    readonly histories: readonly (readonly HistoryEvent[])[]
    readonly memory: readonly Memory[]
  }> {
    const { company, tracks } = this.#stage
    const told = company.history()
    const stalls = [...this.#stalls, ...stallsOf(told)]
    const rows: Row[] = []
    const histories: (readonly HistoryEvent[])[] = []
    for (const judged of tracks) {
      const evidence = await this.#stage.evidence(judged, told, this.#marks.ids)
      histories.push(evidence.history)
      const readings = this.#readings.filter(({ key }) => key === judged.name)
      const money = judged.hasMoney ? keysPerTrack * startBalance : null
      rows.push(...rowsOf({ ...judged, ...evidence, readings, money }, this.#spells, isDrained, stalls))
      for (const [fault, why] of left) rows.push(notRun(judged, fault, why))
    }
    return { rows: mergedRows(rows), histories, memory: memoryOf(told) }
  }

  #stood(ms: number): void {
    this.#stalls.push({ from: now() - ms * 1000, to: now(), process: 'prove' })
  }

  #enter(phase: Phase): void {
    this.#signal.throwIfAborted()
    this.#phase = phase
    this.#options.onView(this.#view())
  }

  async #rest(ms: number): Promise<void> {
    await pause(ms, undefined, { signal: this.#signal })
  }

  async #watch(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      const before = this.#phase
      // A look that fails is no matter: the next one tells.
      await noticeSlow(
        () => this.#look(),
        (ms) => {
          // A server that stands still is a fault too that nobody has injected; later on it may be one that somebody has.
          if (before === 'baseline' && this.#phase === 'baseline') this.#stood(ms)
        },
      )
      if (signal.aborted) return
      this.#options.onView(this.#view())
      await pause(200, undefined, { signal }).catch(() => {})
    }
  }

  async #look(): Promise<void> {
    const { settings, query } = this.#stage
    const { schema, loadSchema } = settings
    const [row] = await query(`
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
      processes: this.#stage.company.states,
      faults: this.#spells.filter(({ fault }) => isInjected(fault)).length,
      ...this.#figures,
    }
  }
}
