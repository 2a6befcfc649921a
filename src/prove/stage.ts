import { randomBytes } from 'node:crypto'
import type { Guarantee, Waybill, WaybillError } from '../index.ts'
import type { Client, Query } from '../demo/database.ts'
import type { HistoryEvent, PostgresServer } from '../testing.ts'
import type { InTransaction, Scratch } from '../testing/idempotency-scratch.ts'
import { type FakeClock, fakeClock, findFaketime } from '../testing/faults/clock-jump.ts'
import type { Missing } from './catalog.ts'
import { type Cast, Company } from './company.ts'
import { kafkaOf, listeningPlaceOf, openInstance } from './instance.ts'
import { countedOf, evidenceOf } from './evidence.ts'
import { classesOf } from './fault-choice.ts'
import { Grounds } from './grounds.ts'
import type { KafkaPlace } from './kafka-place.ts'
import { Links, type Party } from './links.ts'
import { createLoad, dropSchemas } from './load-tables.ts'
import { leftSchemas, type Remnants } from './remnants.ts'
import type { TrackEvidence } from './rows.ts'
import { type CopiesOptions, makeCopies } from './service/copies.ts'
import { doubtsOf, rerunsOf } from './service/evidence.ts'
import { ledgerTexts } from './service/ledger-tables.ts'
import type { Service } from './service/service.ts'
import { newRunId, type ProveSettings, withoutName } from './settings.ts'
import { hopsOf, type Judged, type Track, tracksOf } from './tracks.ts'

export interface StageOptions {
  /** `null`: as the user's configuration says. */
  readonly databaseUrl: string | null
  /** Where it was started for the run: it goes with all it has. */
  readonly server: PostgresServer | null
  /** What of the user's own is proven; `null`: nothing, the load is the run's own. */
  readonly subject: Subject | null
  /** `null`: the `local` transport. */
  readonly kafka: KafkaPlace | null
  readonly guarantees: readonly Guarantee[]
  readonly faults: readonly string[]
  readonly seed: number
  /** Added to the environment of every process. @default none */
  readonly env?: Readonly<Record<string, string>>
  readonly onBroken: (error: WaybillError) => void
  /** Something it made could not be taken away again. */
  readonly onLeftBehind: (what: string, error: unknown) => void
  /** What is there of runs which were killed. @default nobody is told */
  readonly onRemnants?: (remnants: Remnants) => void
}

const partitions = 6
const consumerNames = ['consumer-1', 'consumer-2']

/** What of the user's own is proven. */
export interface Subject {
  readonly service: Service
  /** Tables that handlers of the user's write; `null`: handlers of the run's own run. */
  readonly copies: Pick<CopiesOptions, 'tables' | 'ignore' | 'maxRows'> | null
}

/** Everything that is made for a run, and taken away after it: schemas, topics, proxies, processes. */
export class Stage implements AsyncDisposable {
  readonly settings: ProveSettings
  readonly tracks: readonly Judged[]
  /** Those of the run's own. */
  readonly ownTracks: readonly Track[]
  /** Waybill at the database itself, past all proxies. */
  readonly office: Waybill<Client>
  readonly query: Query
  readonly #options: StageOptions
  readonly #removals: (() => Promise<void>)[] = []
  readonly #clocks = new Map<string, FakeClock>()
  #links: Links | null = null
  #company: Company | null = null
  #copies: Scratch | null = null
  #offset = 0

  constructor(options: StageOptions) {
    const { kafka, guarantees, subject } = options
    const databaseUrl = options.databaseUrl === null ? null : withoutName(options.databaseUrl)
    this.#options = { ...options, databaseUrl }
    const id = newRunId()
    this.settings = {
      id,
      databaseUrl,
      storeWay: null,
      brokers: kafka?.brokers ?? null,
      sessionTimeoutMs: kafka?.sessionTimeoutMs ?? 0,
      schema: id,
      loadSchema: `${id}_load`,
      guarantees,
      perSecond: subject === null ? 100 : 50,
      leaseMs: subject?.service.leaseMs ?? 2000,
      canary: `canary-${randomBytes(6).toString('hex')}`,
      service: subject?.service.settings ?? null,
      copies: (subject?.copies ?? null) === null ? null : `${id}_copies`,
    }
    this.ownTracks = subject === null ? tracksOf(this.settings) : []
    this.tracks = subject === null ? this.ownTracks : subject.service.judged(id)
    this.office =
      subject === null ? openInstance(this.settings, 'office') : subject.service.open(this.settings, 'office')
    this.query = async (text, values) => (await this.office.transaction((tx) => tx.query(text, values))).rows
  }

  /** There once it was set. */
  get company(): Company {
    return this.#company!
  }

  get links(): Links {
    return this.#links!
  }

  /** Of the processes whose clocks may jump, where that was asked for. */
  get clocks(): ReadonlyMap<string, FakeClock> | Missing {
    const { library, hint } = findFaketime()
    return library === null ? { missing: `it takes the ${hint}` } : this.#clocks
  }

  /** What is to be added to the database's time, in microseconds since 1970, to make it the processes' own. */
  get offset(): number {
    return this.#offset
  }

  /** Handlers are judged by what they do with messages that come again. */
  get wantsRepeats(): boolean {
    const { copies } = this.settings
    return copies !== null && this.tracks.some(({ guarantee }) => guarantee === 'effectively-once')
  }

  async set(): Promise<void> {
    const { databaseUrl, server, kafka, subject } = this.#options
    const { schema, loadSchema, copies } = this.settings
    const schemas = [...(copies === null ? [] : [copies]), loadSchema, schema]
    // Also where it fails half-way. One of the run's own may be killed when the run is stopped, and goes with all it has.
    if (server === null) this.#removals.push(() => dropSchemas(this.query, schemas))
    try {
      await this.office.migrate()
    } catch (error) {
      // Nothing was made where the database could not even be reached, and nobody could take it away.
      await this.query('select 1').catch(() => this.#removals.pop())
      throw error
    }
    const left = await leftSchemas(this.query, this.settings)
    // At a broker of the run's own nobody was before.
    const runs = kafka?.server === null ? await this.#grounds.remnants(this.settings.id) : []
    if (left.length + runs.length > 0) this.#options.onRemnants?.({ schemas: left, runs })
    await createLoad(
      this.query,
      loadSchema,
      this.ownTracks.map(({ name }) => name),
    )
    if (subject !== null) await this.#createForService(subject)
    const [row] = await this.query('select (extract(epoch from clock_timestamp()) * 1e6)::float8 as t')
    this.#offset = now() - Number(row!['t'])
    // A broker of the run's own goes with all it has.
    if (kafka?.server === null) this.#removals.push(() => this.#grounds.remove())
    if (kafka !== null) await this.#grounds.make()
    const listensAt =
      databaseUrl === null ? (subject?.service.listensAt ?? null) : listeningPlaceOf(databaseUrl)
    this.#links = await Links.open({ databaseUrl, listensAt }, kafka)
    this.#setClocks()
    this.#company = this.#gather(this.#links)
  }

  /** One process of each kind goes by a clock of its own. */
  #setClocks(): void {
    const { faults, kafka } = this.#options
    const { library } = findFaketime()
    if (library === null || !classesOf(faults).has('clock')) return
    for (const name of ['consumer-1', 'writer', ...(kafka === null ? [] : ['relay-1'])])
      this.#clocks.set(name, fakeClock(library))
  }

  async #createForService({ copies }: Subject): Promise<void> {
    const { schema, loadSchema, copies: name } = this.settings
    if (copies !== null && name !== null) {
      const inTransaction: InTransaction = (work) => this.office.transaction(work)
      this.#copies = await makeCopies(inTransaction, {
        ...copies,
        schema: name,
        besides: [schema, loadSchema],
      })
    }
    for (const text of ledgerTexts(this.settings)) await this.query(text)
  }

  /** All that is known of one track; see {@link evidenceOf}. */
  async evidence(
    track: Judged,
    told: readonly HistoryEvent[],
    marks: ReadonlySet<string>,
  ): Promise<Pick<TrackEvidence, 'history' | 'doubts' | 'counted'>> {
    const { query, settings, offset } = this
    const history = await evidenceOf(query, settings, track, told, { offset, marks })
    // What a broker loses, or a client behind it, nobody sees.
    const isSeen = track.guarantee === 'at-most-once' && settings.brokers === null && track.pair === null
    const counted = isSeen ? await countedOf(query, settings, track) : null
    if (track.pair === null) return { history, counted }
    const reruns = await rerunsOf(query, settings, track, offset)
    const changed = (await this.#copies?.changedOriginals()) ?? []
    const doubts = changed.map(
      (name) =>
        `${name} itself changed during the proof: something else writes to it, or a handler does, on a connection of its own`,
    )
    return {
      history: [...history, ...reruns.events].sort((a, b) => a.t - b.t),
      doubts: [...doubts, ...(await doubtsOf(query, settings, track, reruns))],
    }
  }

  #gather(links: Links): Company {
    const { seed, env = {}, onBroken, kafka } = this.#options
    const cast = (role: Cast['role'], name: string, party: Party): Cast => ({
      role,
      name,
      settings: links.of(party),
      env: { ...env, ...this.#clocks.get(name)?.env },
    })
    const relays = kafka === null ? [] : ['relay-1', 'relay-2'].map((name) => cast('relay', name, 'relays'))
    const consumers = consumerNames.map((name) => cast('consumer', name, 'consumers'))
    return new Company(
      this.settings,
      seed,
      [...consumers, ...relays, cast('writer', 'writer', 'writer')],
      onBroken,
    )
  }

  /** Resolves when every consumer has its share of what brokers keep for it. Throws `WB_TIMED_OUT`. */
  async settled(signal: AbortSignal): Promise<void> {
    await this.#grounds.settled(consumerNames.length, signal)
  }

  get #grounds(): Grounds {
    const { subject } = this.#options
    if (subject !== null) return new Grounds(subject.service.grounds(this.settings.id))
    const { ownTracks: tracks, settings } = this
    if (settings.brokers === null) return new Grounds([])
    const ground = {
      transport: kafkaOf(settings, settings.brokers),
      addresses: tracks.flatMap((track) => hopsOf(track).map(({ channel }) => channel.address)),
      streams: partitions,
      consumers: tracks.flatMap((track) => hopsOf(track).map(({ consumer }) => consumer)),
    }
    return new Grounds([ground])
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#company?.[Symbol.asyncDispose]()
    for (const clock of this.#clocks.values()) clock[Symbol.dispose]()
    for (const remove of this.#removals.toReversed()) {
      await remove().catch((error: unknown) => {
        this.#options.onLeftBehind(`what is named ${this.settings.id}`, error)
      })
    }
    await this.office[Symbol.asyncDispose]()
    await this.#links?.stop()
  }
}

/** Microseconds, as the history has them. */
export function now(): number {
  return Number(process.hrtime.bigint() / 1000n)
}
