import { createWaybill, defineConfig, type Waybill } from '../index.ts'
import { localTransport } from '../local.ts'
import { postgresStore } from '../postgres.ts'
import type { Client } from '../demo/database.ts'
import type { ProveSettings } from './settings.ts'
import { tracksOf } from './tracks.ts'

/** Waybill as one process of a run has it. */
export function openInstance(settings: ProveSettings, name: string): Waybill<Client> {
  const { id, databaseUrl, schema, guarantees, leaseMs } = settings
  const tracks = tracksOf(id, guarantees)
  const config = defineConfig<Client>({
    store: postgresStore({ connectionString: databaseUrl, schema }),
    transports: { local: localTransport() },
    channels: tracks.flatMap(({ channel, follow }) => (follow === null ? [channel] : [channel, follow])),
    relay: false,
    applicationName: `waybill prove: ${name}`,
    logLevel: 'warn',
    // Faults last seconds: who takes over, or finds a call hanging, should not need longer.
    leaseMs,
    statementTimeoutMs: 2000,
    handlerTimeoutMs: 1000,
    publishTimeoutMs: 1000,
    retryInitialMs: 50,
    pollMaxMs: 200,
  })
  // Whatever WAYBILL_* variables hold is meant for the user's own services.
  return createWaybill(config, {})
}
