import { type ResolvedConfig, resolveConfig, type WaybillConfig } from '../../app/config.ts'
import { checkConsumeOptions, type ConsumeOptions } from '../../app/consume-options.ts'
import { type PlannedConsumer, plansOf } from '../../app/plans.ts'
import { loadConfig } from '../../cli/config-file.ts'
import type { Client } from '../../demo/database.ts'
import { createWaybill, type Guarantee, type Waybill, WaybillError } from '../../index.ts'
import type { HostPort } from '../../ports/store.ts'
import { recordHandlers } from '../../testing/idempotency-recorder.ts'
import type { Judged } from '../tracks.ts'
import { hastyFlags, movedConfig, movedName } from './moved-config.ts'
import type { ServicePair, ServiceSettings } from './settings.ts'
import { sessionsOf } from '../settings.ts'

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
  /** Channels that are left out, and why, for people. */
  readonly notes: readonly string[]
  readonly #given: WaybillConfig

  private constructor(
    settings: ServiceSettings,
    given: WaybillConfig,
    config: ResolvedConfig,
    notes: readonly string[],
  ) {
    this.settings = settings
    this.#given = given
    this.config = config
    this.notes = notes
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
        ['No channel of the configuration is left to be proven.', ...notes].join(' '),
      )
    const pairs = chosen.map(({ channel: name, facts }): ServicePair => {
      const { guarantee, ordered: isOrdered } = resolved.routes.get(name)!.channel
      return { name: `${name}/${facts.name}`, channel: name, consumer: facts.name, guarantee, isOrdered }
    })
    const service = new Service({ ...wishes, pairs }, given, resolved, notes)
    service.#compile(chosen)
    return service
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
    }))
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

  get #flags(): Readonly<Record<string, unknown>> {
    return hastyFlags(this.config.settings, this.settings.flags)
  }

  #compile(planned: readonly PlannedConsumer[]): void {
    // Names of any run.
    const place = { id: 'run', schema: 'waybill_prove', way: null }
    const config = resolveConfig(movedConfig(this.#given, this.config, place), {
      flags: this.#flags,
      env: process.env,
    })
    const moved = planned.map(({ channel, facts }) => ({
      channel,
      facts: {
        ...facts,
        name: movedName(place.id, facts.name),
        handlerTimeoutMs: Math.min(facts.handlerTimeoutMs, this.handlerTimeoutMs),
      },
    }))
    plansOf(config, moved)
  }
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
