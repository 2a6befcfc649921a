import type { AnyChannel, ResolvedConfig, WaybillConfig } from '../../app/config.ts'
import type { Settings } from '../../app/settings.ts'
import { WaybillError } from '../../index.ts'
import type { HostPort } from '../../ports/store.ts'
import type { TransportDefinition } from '../../ports/transport.ts'
import { theirSessionTimeoutMs } from '../kafka-place.ts'
import { requestTimeoutMs } from '../settings.ts'

export interface ConfigPlace {
  /** Of the run: its consumers bear it, and its addresses. */
  readonly id: string
  readonly schema: string
  /** To the database; `null`: its own. */
  readonly way: HostPort | null
  /** Told what of the configuration a run cannot keep, in a sentence. */
  readonly onDifference?: (sentence: string) => void
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
export function movedName(id: string, name: string): string {
  return `${id}.${name}`
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
  const { id, schema, way, onDifference = () => {} } = place
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
    transports: Object.fromEntries(
      Object.entries(transports).map(([name, transport]) => [
        name,
        movedTransport(name, transport, brokerId(transports, id, name), onDifference),
      ]),
    ),
    channels: channels.map((listed) => {
      const channel = 'channel' in listed ? listed.channel : listed
      const { transport } = resolved.routes.get(channel.name)!
      const address = movedAddress(transports, id, transport, channel.address)
      return { channel: movedChannel(channel, id, address), transport }
    }),
  }
}

/** What the names of a transport at its broker begin with in the run: two of them may be at one broker. */
function brokerId(transports: WaybillConfig['transports'], id: string, name: string): string {
  return `${id}-${Object.keys(transports).indexOf(name)}`
}

/** What an address of the user's is called in the run. */
export function movedAddress(
  transports: WaybillConfig['transports'],
  id: string,
  transport: string,
  address: string,
): string {
  const { isLocal } = transports[transport]!.capabilities
  return isLocal ? address : movedName(brokerId(transports, id, transport), address)
}

/** What goes to a broker gets names of the run's own there. */
function movedTransport(
  name: string,
  transport: TransportDefinition,
  id: string,
  onDifference: (sentence: string) => void,
): TransportDefinition {
  if (transport.capabilities.isLocal) return transport
  if (transport.elsewhere === undefined || transport.openDesk === undefined) {
    throw new WaybillError(
      'WB_INVALID_CONFIG',
      `prove uses addresses of its own, and the transport "${name}" (${transport.kind}) can neither make nor remove any. ` +
        'Give it a configuration without that transport.',
    )
  }
  return transport.elsewhere({
    id,
    sessionTimeoutMs: theirSessionTimeoutMs,
    requestTimeoutMs,
    onDifference: (sentence) => {
      onDifference(`Transport "${name}": ${sentence}`)
    },
  })
}

function movedChannel(channel: AnyChannel, id: string, address: string): AnyChannel {
  return Object.freeze({
    ...channel,
    address,
    consumers: Object.fromEntries(
      Object.entries(channel.consumers).map(([consumer, form]) => [movedName(id, consumer), form]),
    ),
    expiresAfterMs: undefined,
  })
}
