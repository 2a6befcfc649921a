import { randomBytes } from 'node:crypto'
import type { Guarantee, Waybill, WaybillError } from '../index.ts'
import type { Client, Query } from '../demo/database.ts'
import { openTopicDesk } from '../demo/topic.ts'
import { type FakeClock, fakeClock, findFaketime } from '../testing/faults/clock-jump.ts'
import type { FaultClass, Missing } from './catalog.ts'
import { type Cast, Company } from './company.ts'
import { openInstance } from './instance.ts'
import type { KafkaPlace } from './kafka-place.ts'
import { Links, type Party } from './links.ts'
import { createLoad, dropSchemas } from './load-tables.ts'
import type { ProveSettings } from './settings.ts'
import { followConsumer, positionsTopic, type Track, tracksOf } from './tracks.ts'

export interface StageOptions {
  readonly databaseUrl: string
  /** `null`: the `local` transport. */
  readonly kafka: KafkaPlace | null
  readonly guarantees: readonly Guarantee[]
  readonly faults: readonly FaultClass[]
  readonly seed: number
  /** Added to the environment of every process. @default none */
  readonly env?: Readonly<Record<string, string>>
  readonly onBroken: (error: WaybillError) => void
  /** Something it made could not be taken away again. */
  readonly onLeftBehind: (what: string, error: unknown) => void
}

const partitions = 6

/** Everything that is made for a run, and taken away after it: schemas, topics, proxies, processes. */
export class Stage implements AsyncDisposable {
  readonly settings: ProveSettings
  readonly tracks: readonly Track[]
  /** Waybill at the database itself, past all proxies. */
  readonly office: Waybill<Client>
  readonly query: Query
  readonly #options: StageOptions
  readonly #removals: (() => Promise<void>)[] = []
  readonly #clocks = new Map<string, FakeClock>()
  #links: Links | null = null
  #company: Company | null = null
  #offset = 0

  constructor(options: StageOptions) {
    this.#options = options
    const { databaseUrl, kafka, guarantees } = options
    const id = `waybill_prove_${randomBytes(4).toString('hex')}`
    this.settings = {
      id,
      databaseUrl,
      brokers: kafka?.brokers ?? null,
      sessionTimeoutMs: kafka?.sessionTimeoutMs ?? 0,
      schema: id,
      loadSchema: `${id}_load`,
      guarantees,
      perSecond: 100,
      leaseMs: 2000,
      canary: `canary-${randomBytes(6).toString('hex')}`,
    }
    this.tracks = tracksOf(this.settings)
    this.office = openInstance(this.settings, 'office')
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

  async set(): Promise<void> {
    const { databaseUrl, kafka } = this.#options
    const { schema, loadSchema } = this.settings
    // Also where it fails half-way.
    this.#removals.push(() => dropSchemas(this.query, [loadSchema, schema]))
    try {
      await this.office.migrate()
    } catch (error) {
      // Nothing was made where the database could not even be reached, and nobody could take it away.
      await this.query('select 1').catch(() => this.#removals.pop())
      throw error
    }
    const names = this.tracks.map(({ name }) => name)
    await createLoad(this.query, loadSchema, names)
    const [row] = await this.query('select (extract(epoch from clock_timestamp()) * 1e6)::float8 as t')
    this.#offset = now() - Number(row!['t'])
    if (kafka !== null) await this.#createTopics(kafka)
    this.#links = await Links.open(databaseUrl, kafka)
    this.#setClocks()
    this.#company = this.#gather(this.#links)
  }

  /** One process of each kind goes by a clock of its own. */
  #setClocks(): void {
    const { faults, kafka } = this.#options
    const { library } = findFaketime()
    if (library === null || !faults.includes('clock')) return
    for (const name of ['consumer-1', 'writer', ...(kafka === null ? [] : ['relay-1'])])
      this.#clocks.set(name, fakeClock(library))
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
    const consumers = ['consumer-1', 'consumer-2'].map((name) => cast('consumer', name, 'consumers'))
    return new Company(
      this.settings,
      seed,
      [...consumers, ...relays, cast('writer', 'writer', 'writer')],
      onBroken,
    )
  }

  async #createTopics({ brokers, server }: KafkaPlace): Promise<void> {
    const desk = await openTopicDesk(brokers)
    try {
      for (const { channel, follow } of this.tracks) {
        await desk.create(channel.address, partitions)
        if (follow !== null) await desk.create(follow.address, partitions)
      }
    } finally {
      await desk.close()
      // A broker of the run's own goes with all it has.
      if (server === null) this.#removals.push(() => this.#removeTopics(brokers))
    }
  }

  async #removeTopics(brokers: readonly string[]): Promise<void> {
    const desk = await openTopicDesk(brokers)
    try {
      // At once: groups of processes that were killed are waited for.
      await Promise.all(
        this.tracks.flatMap((track) => [
          desk.remove(track.channel.address, track.consumer),
          ...(track.follow === null ? [] : [desk.remove(track.follow.address, followConsumer(track))]),
        ]),
      )
      if (this.tracks.some(({ guarantee }) => guarantee === 'exactly-once'))
        await desk.remove(positionsTopic(this.settings.id))
    } finally {
      await desk.close()
    }
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
