import { type ResolvedConfig, resolveConfig, type WaybillConfig } from '../../app/config.ts'
import { checkConsumeOptions, type ConsumeOptions } from '../../app/consume-options.ts'
import { type PlannedConsumer, plansOf } from '../../app/plans.ts'
import { loadConfig } from '../../cli/config-file.ts'
import type { Client } from '../../demo/database.ts'
import { createWaybill, type Guarantee, type Waybill, WaybillError } from '../../index.ts'
import { didYouMean } from '../../kernel/suggest.ts'
import type { HostPort } from '../../ports/store.ts'
import { recordHandlers } from '../../testing/idempotency-recorder.ts'
import type { Ground } from '../grounds.ts'
import type { Judged } from '../tracks.ts'
import { hastyFlags, movedAddress, movedConfig, movedName } from './moved-config.ts'
import type { ServicePair, ServiceSettings } from './settings.ts'
import { newRunId, sessionsOf } from '../settings.ts'

export interface ServiceWishes extends Omit<ServiceSettings, 'pairs'> {
  readonly guarantees: readonly Guarantee[]
  readonly channel: string | undefined
  readonly consumer: string | undefined
}

export interface ServicePlace {
  readonly id: string
  readonly schema: string
  readonly storeWay: HostPort | null
}

/** The consumer of a channel that declares none, where handlers of the run's own handle it. */
const ownConsumer = 'prove'

/** The user's configuration, as one process of a run has it. */
export class Service {
  readonly settings: ServiceSettings
  readonly config: ResolvedConfig
  readonly #notes: string[]
  readonly #given: WaybillConfig

  private constructor(
    settings: ServiceSettings,
    given: WaybillConfig,
    config: ResolvedConfig,
    notes: string[],
  ) {
    this.settings = settings
    this.#given = given
    this.config = config
    this.#notes = notes
  }

  /** In a process of a run. */
  static async load(settings: ServiceSettings): Promise<Service> {
    const { flags } = settings
    const given = await loadConfig(settings.config)
    return new Service(settings, given, resolveConfig(given, { flags, env: process.env }), [])
  }

  /**
   * What of the user's service is to be proven. Throws `WB_INVALID_CONFIG` and `WB_INVALID_OPTION`, and `WB_GUARANTEE_UNSUPPORTED` where
   * a channel's guarantee cannot hold with the times of a run.
   */
  static async choose({ guarantees, channel, consumer, ...wishes }: ServiceWishes): Promise<Service> {
    const { config, flags, handlers } = wishes
    const given = await loadConfig(config)
    const resolved = resolveConfig(given, { flags, env: process.env })
    const notes: string[] = []
    const planned =
      handlers === null
        ? ownPlanned(resolved)
        : (await recordHandlers(resolved, handlers, { channel, consumer })).map((each): PlannedConsumer => ({
            channel: each.channel.name,
            facts: each.facts,
          }))
    const isChosen = ({ channel: name, facts }: PlannedConsumer): boolean => {
      const { channel: own } = resolved.routes.get(name)!
      const isWanted =
        guarantees.includes(own.guarantee) &&
        (channel ?? name) === name &&
        (consumer ?? facts.name) === facts.name
      if (!isWanted) return false
      if (!own.isStored)
        notes.push(`${name} is left out: it is only sent, without a transaction to judge by.`)
      else if (facts.transforms) notes.push(`${facts.name} of ${name} is left out: it is a transform.`)
      return own.isStored && !facts.transforms
    }
    const chosen = planned.filter(isChosen)
    if (chosen.length === 0)
      throw new WaybillError(
        'WB_INVALID_OPTION',
        [
          'No channel of the configuration is left to be proven.',
          ...notes,
          ...unknownNames(resolved, planned, { channel, consumer }),
        ].join(' '),
      )
    const pairs = chosen.map(({ channel: name, facts }): ServicePair => {
      const { guarantee, ordered: isOrdered } = resolved.routes.get(name)!.channel
      return { name: `${name}/${facts.name}`, channel: name, consumer: facts.name, guarantee, isOrdered }
    })
    const service = new Service({ ...wishes, pairs }, given, resolved, notes)
    service.#compile(chosen)
    return service
  }

  /** For people: channels that are left out, and why, and what is not as it was configured. */
  get notes(): readonly string[] {
    return this.#notes
  }

  /** Where its database listens, if a proxy would be taken for it. */
  get listensAt(): HostPort | null {
    return this.config.store?.listensAt?.() ?? null
  }

  /** What is judged in the run of this id. */
  judged(id: string): readonly Judged[] {
    return this.settings.pairs.map(({ name, channel, consumer, guarantee }) => ({
      name,
      guarantee,
      way: null,
      names: { channel, consumer: movedName(id, consumer) },
      pair: { channel, consumer },
      hasFollow: false,
      hasMoney: false,
      isUnmarked: guarantee === 'at-most-once' && this.#isBrokered(channel),
    }))
  }

  /** Whether any of its messages goes to a broker, what handlers publish among them. */
  get isBrokered(): boolean {
    return [...this.config.routes.values()].some(
      ({ channel: { name, isStored } }) => isStored && this.#isBrokered(name),
    )
  }

  /** What the run of this id has at brokers. */
  grounds(id: string): readonly Ground[] {
    const { transports } = movedConfig(this.#given, this.config, { id, schema: id, way: null })
    const routes = [...this.config.routes.values()].filter(({ channel }) => this.#isBrokered(channel.name))
    const { pairs } = this.settings
    const judged = (name: string): readonly ServicePair[] => pairs.filter(({ channel }) => channel === name)
    return [...Map.groupBy(routes, ({ transport }) => transport)].map(([name, own]): Ground => {
      const { used = [], unused = [] } = Object.groupBy(own, ({ channel }) =>
        judged(channel.name).length > 0 ? 'used' : 'unused',
      )
      const addressesOf = (some: typeof own): readonly string[] => [
        ...new Set(
          some.map(({ channel }) => movedAddress(this.#given.transports, id, name, channel.address)),
        ),
      ]
      const consumers = used.flatMap(({ channel }) => judged(channel.name).map(({ consumer }) => consumer))
      return {
        transport: transports[name]!,
        addresses: addressesOf(used),
        further: addressesOf(unused),
        consumers: [...new Set(consumers)].map((consumer) => movedName(id, consumer)),
      }
    })
  }

  /** How long a relay of the run holds its partitions. */
  get leaseMs(): number {
    return Number(this.#flags['leaseMs'])
  }

  /** How long a handler has in the run. */
  get handlerTimeoutMs(): number {
    return Number(this.#flags['handlerTimeoutMs'])
  }

  /** Waybill as one process of the run has it. */
  open(
    { id, schema, storeWay: way }: ServicePlace,
    name: string,
    { relay = false }: { readonly relay?: boolean } = {},
  ): Waybill<Client> {
    const config = { ...movedConfig(this.#given, this.config, { id, schema, way }), relay }
    const flags = { ...this.#flags, applicationName: sessionsOf({ id }, name), logLevel: 'warn' }
    return createWaybill(config, { flags, env: process.env }) as Waybill<Client>
  }

  #isBrokered(channel: string): boolean {
    return !this.#given.transports[this.config.routes.get(channel)!.transport]!.capabilities.isLocal
  }

  get #flags(): Readonly<Record<string, unknown>> {
    // Several processes run on it: none serves what the service's monitor would, whatever its file or environment says.
    return { ...hastyFlags(this.config.settings, this.settings.flags), httpPort: 0 }
  }

  #compile(planned: readonly PlannedConsumer[]): void {
    // Names as long as those of any run.
    const id = newRunId()
    const onDifference = (sentence: string): void => void this.#notes.push(sentence)
    const place = { id, schema: id, way: null, onDifference }
    const config = resolveConfig(movedConfig(this.#given, this.config, place), {
      flags: this.#flags,
      env: process.env,
    })
    const moved = planned.map(({ channel, facts }) => ({
      channel,
      facts: {
        ...facts,
        name: movedName(id, facts.name),
        handlerTimeoutMs: Math.min(facts.handlerTimeoutMs, this.handlerTimeoutMs),
      },
    }))
    plansOf(config, moved)
  }
}

/** What of the names asked for is in no configuration, or of no channel asked for. */
function unknownNames(
  { routes }: ResolvedConfig,
  planned: readonly PlannedConsumer[],
  { channel, consumer }: Pick<ServiceWishes, 'channel' | 'consumer'>,
): readonly string[] {
  if (channel !== undefined && !routes.has(channel))
    return [`It has no channel "${channel}".${didYouMean(channel, routes.keys())}`]
  if (consumer === undefined) return []
  const asked = planned.filter((one) => (channel ?? one.channel) === one.channel)
  const names = [...new Set(asked.map(({ facts }) => facts.name))]
  if (names.includes(consumer)) return []
  const whose = channel === undefined ? 'No channel' : `"${channel}"`
  const declares = `${whose} declares ${channel === undefined ? 'a' : 'no'} consumer "${consumer}".${didYouMean(consumer, names)}`
  return channel !== undefined && Object.keys(routes.get(channel)!.channel.consumers).length === 0
    ? [`${declares} It declares none at all: leave --consumer out, or give --handlers.`]
    : [`${declares} There are: ${names.join(', ')}.`]
}

/** Handlers of the run's own: for each consumer that a channel declares, or one. */
function ownPlanned(config: ResolvedConfig): readonly PlannedConsumer[] {
  return [...config.routes.values()].flatMap(({ channel }) => {
    const declared = Object.keys(channel.consumers)
    const names = declared.length > 0 ? declared : [ownConsumer]
    return names.map((name) => ({
      channel: channel.name,
      facts: checkConsumeOptions(ownOptions(config, channel.name, name), () => {}, config.settings).facts,
    }))
  })
}

/** How a handler of the run's own is registered, so that it keeps the form its channel declares. */
export function ownOptions(
  { routes }: ResolvedConfig,
  channelName: string,
  consumer: string,
): ConsumeOptions {
  const { channel } = routes.get(channelName)!
  const form = channel.consumers[consumer]
  return {
    consumer,
    ...(channel.guarantee === 'effectively-once' || form === 'idempotent' ? { idempotent: true } : {}),
    ...(form === 'checkpoint' ? { form } : {}),
  }
}
