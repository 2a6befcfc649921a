import { WaybillError } from '../kernel/errors.ts'
import { jsonLogger, type Logger } from '../kernel/logger.ts'
import type { MonitorDefinition } from '../kernel/monitoring.ts'
import { didYouMean } from '../kernel/suggest.ts'
import type { Channel, RoutedChannel } from '../outbox/channel.ts'
import type { StoreDefinition } from '../ports/store.ts'
import type { TransportDefinition } from '../ports/transport.ts'
import { resolveSettings, type Settings, type SettingsOptions, type SettingsSources } from './settings.ts'

// Channels of every payload type stand in one list; `any` is what makes them assignable in both directions.
// oxlint-disable-next-line typescript/no-explicit-any
export type AnyChannel = Channel<any, any, boolean, boolean>
// oxlint-disable-next-line typescript/no-explicit-any
export type AnyRoutedChannel = RoutedChannel<any, any, boolean, boolean>

/** What `waybill.config.ts` exports: the store, the transports, the channels; and any setting of docs/configuration.md. */
export interface WaybillConfig<Handle = unknown> extends SettingsOptions {
  /** Needed where a channel is stored or anything is consumed; a service that only sends, or transforms, has none. */
  readonly store?: StoreDefinition<Handle> | undefined
  /** By the name that channels use in `.via(name)`. */
  readonly transports: Readonly<Record<string, TransportDefinition>>
  /** Each goes through the transport it names with `.via(name)`, or the only one there is. */
  readonly channels: readonly (AnyChannel | AnyRoutedChannel)[]
  /**
   * Whether `start()` also runs the relay for the broker transports in this process.
   * @default true
   */
  readonly relay?: boolean | undefined
  /**
   * A pino-shaped logger.
   * @default JSON lines on stderr, at `logLevel`
   */
  readonly logger?: Logger | undefined
  /**
   * One, or several: `httpMonitor()` of waybill/monitor serves metrics and health at the settings `httpHost` and `httpPort`;
   * `otelMonitor()` of waybill/otel hands metrics and the relays' spans to OpenTelemetry.
   * @default none; `waybill relay` has `httpMonitor()`
   */
  readonly monitor?: MonitorDefinition | readonly MonitorDefinition[] | undefined
}

/** A channel with the transport that carries it. */
export interface ChannelRoute {
  readonly channel: AnyChannel
  readonly transport: string
  readonly address: string
  readonly maxBytes: number
}

/** The configuration, judged and completed. */
export interface ResolvedConfig<Handle = unknown> {
  readonly store: StoreDefinition<Handle> | undefined
  readonly transports: ReadonlyMap<string, TransportDefinition>
  readonly routes: ReadonlyMap<string, ChannelRoute>
  readonly runsRelay: boolean
  readonly settings: Settings
  readonly logger: Logger
  readonly monitors: readonly MonitorDefinition[]
}

/** Returns its argument: gives an editor the types of the configuration. */
export function defineConfig<Handle>(config: WaybillConfig<Handle>): WaybillConfig<Handle> {
  return config
}

const ownKeys = ['store', 'transports', 'channels', 'relay', 'logger', 'monitor'] as const

/**
 * Throws `WB_INVALID_CONFIG` or `WB_INVALID_OPTION` for what cannot be meant; connects to nothing.
 */
export function resolveConfig<Handle>(
  config: WaybillConfig<Handle>,
  sources: Pick<SettingsSources, 'flags' | 'env'> = {},
): ResolvedConfig<Handle> {
  if (typeof config !== 'object' || config === null) throw invalid('the configuration is not an object.')
  const { store, transports, channels, relay, logger, monitor, ...file } = config
  const missing = misspelt(file, 'store')
  if (store === undefined && missing !== '') throw invalid(`\`store\` is missing.${missing}`)
  if (store !== undefined && typeof store?.open !== 'function') {
    throw invalid('`store` is not a store: give it one such as postgresStore({ … }).')
  }
  const monitors = [monitor ?? []].flat()
  if (!monitors.every((each) => typeof each?.open === 'function')) {
    throw invalid('`monitor` is not a monitor: give it httpMonitor() of waybill/monitor.')
  }
  if (
    typeof (transports as unknown) !== 'object' ||
    transports === null ||
    Object.keys(transports).length === 0
  ) {
    const hint = misspelt(file, 'transports')
    throw invalid(`\`transports\` is empty: name one at least, e.g. { local: localTransport() }.${hint}`)
  }
  if (!Array.isArray(channels)) {
    throw invalid(`\`channels\` is missing: list what defineChannel made.${misspelt(file, 'channels')}`)
  }
  const settings = resolveSettings({ ...sources, file })
  const byName = new Map(Object.entries(transports))
  for (const [name, transport] of byName) {
    if (!/^[\w.-]{1,100}$/u.test(name))
      throw invalid(`the transport name ${JSON.stringify(name)} is not a plain word.`)
    if (typeof transport?.open !== 'function') throw invalid(`transport "${name}" is not a transport.`)
  }
  const routes = routesOf(channels, byName)
  if (store === undefined) mustNeedNone(routes, byName)
  return {
    store,
    transports: byName,
    routes,
    runsRelay: relay ?? true,
    settings,
    logger: logger ?? jsonLogger(settings.logLevel),
    monitors,
  }
}

function routesOf(
  channels: WaybillConfig['channels'],
  transports: ReadonlyMap<string, TransportDefinition>,
): ReadonlyMap<string, ChannelRoute> {
  const routes = new Map<string, ChannelRoute>()
  const only = transports.size === 1 ? transports.keys().next().value : undefined
  for (const listed of channels) {
    const { channel, transport = only } =
      'channel' in listed ? listed : { channel: listed, transport: undefined }
    if (typeof channel?.name !== 'string')
      throw invalid('`channels` holds something that defineChannel did not make.')
    if (routes.has(channel.name)) throw invalid(`channel "${channel.name}" is listed twice.`)
    if (transport === undefined) {
      const names = [...transports.keys()].join(', ')
      throw invalid(`channel "${channel.name}" names no transport: add .via(…) with one of ${names}.`)
    }
    const definition = transports.get(transport)
    if (definition === undefined) {
      const hint = didYouMean(transport, transports.keys())
      throw invalid(
        `channel "${channel.name}" goes via "${transport}", which is not among the transports.${hint}`,
      )
    }
    const fault = definition.addressFault?.(channel.address)
    if (fault !== undefined) {
      throw invalid(`the address ${JSON.stringify(channel.address)} of channel "${channel.name}" ${fault}.`)
    }
    const { maxBytes } = definition.capabilities
    routes.set(channel.name, { channel, transport, address: channel.address, maxBytes })
  }
  return routes
}

function mustNeedNone(
  routes: ReadonlyMap<string, ChannelRoute>,
  transports: ReadonlyMap<string, TransportDefinition>,
): void {
  for (const { channel, transport } of routes.values()) {
    const { isLocal, transforms } = transports.get(transport)!.capabilities
    // An exactly-once channel is another service's to publish on; a transform reads and writes it without a store.
    if ((!channel.isStored || (channel.guarantee === 'exactly-once' && transforms)) && !isLocal) continue
    const way = isLocal
      ? 'goes over a local transport'
      : 'may be stored: declare it with `outbox: false` where it is only sent'
    throw invalid(
      `\`store\` is missing, and channel "${channel.name}" ${way}. Give it a store such as postgresStore({ … }).`,
    )
  }
}

function misspelt(rest: object, wanted: (typeof ownKeys)[number]): string {
  const near = Object.keys(rest).find((name) => didYouMean(name, [wanted]) !== '')
  return near === undefined ? '' : ` Is "${near}" meant to be "${wanted}"?`
}

function invalid(message: string): WaybillError {
  return new WaybillError('WB_INVALID_CONFIG', `Cannot use this configuration: ${message}`)
}
