import type { AnyChannel, ResolvedConfig, WaybillConfig } from '../../app/config.ts'
import type { Settings } from '../../app/settings.ts'
import { WaybillError } from '../../index.ts'
import type { HostPort } from '../../ports/store.ts'

export interface ConfigPlace {
  /** Of the run: its consumers bear it. */
  readonly id: string
  readonly schema: string
  /** To the database; `null`: its own. */
  readonly way: HostPort | null
}

/** Faults last seconds: who takes over, or finds a call hanging, should not need longer. */
const hasty = {
  leaseMs: 2000,
  statementTimeoutMs: 2000,
  handlerTimeoutMs: 1000,
  publishTimeoutMs: 1000,
  retryInitialMs: 50,
  holdInitialMs: 100,
  holdMaxMs: 1000,
  pollMinMs: 5,
  pollMaxMs: 200,
} as const satisfies Partial<Settings>

/** The times of a run: shorter ones of the user's stay, and so does what was given as a flag. */
export function hastyFlags(
  settings: Settings,
  flags: Readonly<Record<string, unknown>>,
): Readonly<Record<string, unknown>> {
  const names = Object.keys(hasty) as (keyof typeof hasty)[]
  return {
    ...Object.fromEntries(names.map((name) => [name, Math.min(settings[name], hasty[name])])),
    ...flags,
  }
}

/** What a consumer of the user's is called in the run. */
export function movedName(id: string, consumer: string): string {
  return `${id}.${consumer}`
}

/**
 * The user's configuration on tables of the run's own. Left out are what would reach outside, his logger and monitors, and the
 * age at which messages expire: one that is given up for its age is not lost.
 */
export function movedConfig(
  {
    store,
    transports,
    channels,
    relay: _relay,
    logger: _logger,
    monitor: _monitor,
    ...settings
  }: WaybillConfig,
  resolved: ResolvedConfig,
  place: ConfigPlace,
): WaybillConfig {
  const { id, schema, way } = place
  const broker = Object.entries(transports).find(([, { capabilities }]) => !capabilities.isLocal)
  if (broker !== undefined) {
    const [name, { kind }] = broker
    throw new WaybillError(
      'WB_INVALID_CONFIG',
      `prove runs a configuration over local transports only, and "${name}" goes to ${kind}, whose topics others use. ` +
        'What Waybill does over a broker of yours is shown by: waybill prove --brokers host:port --database-url postgres://host/database',
    )
  }
  const moved = store?.elsewhere?.({ schema, ...(way === null ? {} : { way }) })
  if (moved === undefined) {
    throw new WaybillError(
      'WB_INVALID_CONFIG',
      'prove runs in a schema of its own: the configuration needs a `store` that can be moved, such as postgresStore({ … }).',
    )
  }
  return {
    ...settings,
    store: moved,
    transports,
    channels: channels.map((listed) => {
      const channel = 'channel' in listed ? listed.channel : listed
      const { transport } = resolved.routes.get(channel.name)!
      return { channel: movedChannel(channel, id), transport }
    }),
  }
}

function movedChannel(channel: AnyChannel, id: string): AnyChannel {
  return Object.freeze({
    ...channel,
    consumers: Object.fromEntries(
      Object.entries(channel.consumers).map(([consumer, form]) => [movedName(id, consumer), form]),
    ),
    expiresAfterMs: undefined,
  })
}
