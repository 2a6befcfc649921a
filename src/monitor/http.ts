import { WaybillError } from '../kernel/errors.ts'
import type { MonitorDefinition } from '../kernel/monitoring.ts'

export interface HttpMonitorOptions {
  /**
   * How long each component has to say that it is well, in milliseconds.
   * @default 2000
   */
  readonly healthTimeoutMs?: number
}

/**
 * Serves `/metrics` for Prometheus, `/healthz` and `/readyz`: as `monitor` of the configuration, at the settings `httpHost` and
 * `httpPort`. It only reads, and no body holds a payload, a header, an id or an address of a database. Throws `WB_INVALID_OPTION`;
 * `start()` throws `WB_INVALID_CONFIG` where it cannot listen there.
 */
export function httpMonitor({ healthTimeoutMs = 2000 }: HttpMonitorOptions = {}): MonitorDefinition {
  if (!Number.isInteger(healthTimeoutMs) || healthTimeoutMs < 1 || healthTimeoutMs > 60_000) {
    throw new WaybillError(
      'WB_INVALID_OPTION',
      'httpMonitor: `healthTimeoutMs` must be a whole number of milliseconds from 1 to 60000.',
    )
  }
  return {
    listens: true,
    // Loaded where it listens: the server and its metrics are a fifth of what a relay takes before its first row.
    async open(source, place) {
      const { openHttpServer } = await import('./http-server.ts')
      return await openHttpServer(source, place, healthTimeoutMs)
    },
  }
}
