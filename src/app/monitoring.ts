import { WaybillError } from '../kernel/errors.ts'
import type { MonitorSource } from '../kernel/monitoring.ts'
import type { Store } from '../ports/store.ts'
import type { ResolvedConfig } from './config.ts'
import { metricsRequest } from './inspection/summary.ts'
import { brokerChecks, storeCheck } from './health-checks.ts'
import type { OpenTransports } from './open-transports.ts'
import type { Running } from './running.ts'

export interface MonitoringParts {
  readonly consumers: readonly string[]
  readonly store: Pick<Store, 'census'> | null
  /** What runs; more is added to it, and taken away. */
  readonly running: Running[]
  /** `start()` has ended, and no stop has begun. */
  readonly isServing: () => boolean
}

/**
 * Opens the configuration's monitors, those that listen where the setting `httpPort` gives them a place: before anything else
 * starts, so that they can tell what has not, and count all there is. Throws `WB_INVALID_CONFIG`.
 */
export async function startMonitors(config: ResolvedConfig, parts: MonitoringParts): Promise<void> {
  const { monitors, settings } = config
  const { httpHost: host, httpPort: port } = settings
  if (port !== 0 && !monitors.some(({ listens }) => listens)) {
    throw new WaybillError(
      'WB_INVALID_CONFIG',
      `httpPort is ${port}, and the configuration has no \`monitor\` that could serve there: give it ` +
        '`monitor: httpMonitor()` from waybill/monitor, or set httpPort to 0.',
    )
  }
  for (const monitor of monitors) {
    const { listens } = monitor
    if (listens && port === 0) continue
    const opened = await monitor.open(sourceOf(config, parts), { host, port })
    parts.running.push({
      stop: () => opened.close(),
      wake() {},
      status: () => ({ kind: 'monitor', place: listens ? { host, port } : null }),
    })
  }
}

function sourceOf(
  config: ResolvedConfig,
  { consumers, store, running, isServing }: MonitoringParts,
): MonitorSource {
  return {
    channels: [...config.routes.values()].map(({ channel, transport, address }) => ({
      name: channel.name,
      system: config.transports.get(transport)!.kind,
      address,
    })),
    consumers,
    census: store === null ? null : () => store.census.look(metricsRequest),
    checks: () => running.flatMap((part) => part.checks?.() ?? []),
    notReady: () => (isServing() ? null : 'It is starting, or stopping.'),
    logger: config.logger,
  }
}

/** Store and transports, which others start and stop, and whose health is looked at. */
export function watchedPlaces(store: Pick<Store, 'census'>, transports: OpenTransports): Running {
  return {
    stop: async () => {},
    wake() {},
    status: () => ({ kind: 'transports', names: transports.openNames }),
    checks: () => [storeCheck(store), ...brokerChecks(transports)],
  }
}
