import type { ChannelRegistration, DifferingPartitions, LocalSubscription } from '../ports/schema.ts'
import type { ResolvedConfig } from './config.ts'
import type { Registration } from './consumers.ts'

/** What the store is told of a configuration: its stored channels, and who of this process consumes them without a broker. */
export function registeredOf(
  { routes, transports }: Pick<ResolvedConfig, 'routes' | 'transports'>,
  registrations: readonly Registration[],
): {
  readonly channels: readonly ChannelRegistration[]
  readonly subscriptions: readonly LocalSubscription[]
} {
  const stored = [...routes.values()].filter(({ channel }) => channel.isStored)
  const channels = stored.map(({ channel, transport, address, maxBytes }) => ({
    channel: channel.name,
    transport,
    address,
    ordered: channel.ordered,
    maxBytes,
    // Sent a second time they would break their promise.
    retained: channel.guarantee !== 'at-most-once',
  }))
  const locals = new Map<string, string[]>()
  for (const { consumer, route } of registrations) {
    if (transports.get(route.transport)?.capabilities.isLocal !== true) continue
    locals.set(consumer, [...(locals.get(consumer) ?? []), route.channel.name])
  }
  return { channels, subscriptions: [...locals].map(([consumer, names]) => ({ consumer, channels: names })) }
}

/** Told at each start: who has set another number expects it to be there. */
export function warnOfPartitions(
  differing: readonly DifferingPartitions[],
  { settings, logger }: Pick<ResolvedConfig, 'settings' | 'logger'>,
): void {
  for (const { transport, partitions } of differing) {
    logger.warn(
      { transport, partitions, setting: settings.partitions },
      'the transport keeps its partitions: the setting counts only when it is first registered; `waybill migrate --partitions N` changes them',
    )
  }
}
