import { createWaybill, defineConfig, type Waybill } from '../index.ts'
import { kafkaTransport } from '../kafka.ts'
import { localTransport } from '../local.ts'
import { postgresStore } from '../postgres.ts'
import type { Client } from '../demo/database.ts'
import type { HostPort } from '../ports/store.ts'
import type { TransportDefinition } from '../ports/transport.ts'
import type { Service } from './service/service.ts'
import { type ChildSettings, type ProveSettings, requestTimeoutMs, sessionsOf } from './settings.ts'
import { hopsOf, tracksOf } from './tracks.ts'

/** The same, or the user's own. */
export function openFor(
  settings: ChildSettings,
  service: Service | null,
  options: { readonly relay?: boolean } = {},
): Waybill<Client> {
  const { name } = settings
  return service === null ? openInstance(settings, name, options) : service.open(settings, name, options)
}

/** The way to Kafka, in names of the run's own. */
export function kafkaOf(
  { id, sessionTimeoutMs }: Pick<ProveSettings, 'id' | 'sessionTimeoutMs'>,
  brokers: readonly string[],
): TransportDefinition {
  return kafkaTransport({ brokers }).elsewhere!({ id, sessionTimeoutMs, requestTimeoutMs })
}

/** `null` where a proxy would not be taken for the database of this URL. */
export function listeningPlaceOf(databaseUrl: string): HostPort | null {
  return postgresStore({ connectionString: databaseUrl }).listensAt?.() ?? null
}

/** Waybill as one process of a run has it. Over the local transport each consumer relays for itself. */
export function openInstance(
  settings: ProveSettings,
  name: string,
  options: { readonly relay?: boolean } = {},
): Waybill<Client> {
  const { databaseUrl, brokers, schema, leaseMs } = settings
  const config = defineConfig<Client>({
    store: postgresStore({ connectionString: databaseUrl!, schema }),
    transports: brokers === null ? { local: localTransport() } : { kafka: kafkaOf(settings, brokers) },
    channels: tracksOf(settings).flatMap((track) => hopsOf(track).map(({ channel }) => channel)),
    relay: options.relay ?? false,
    applicationName: sessionsOf(settings, name),
    logLevel: 'warn',
    // Faults last seconds: who takes over, or finds a call hanging, should not need longer.
    leaseMs,
    statementTimeoutMs: 2000,
    handlerTimeoutMs: 1000,
    publishTimeoutMs: 1000,
    retryInitialMs: 50,
    holdMaxMs: 1000,
    pollMaxMs: 200,
  })
  // Whatever WAYBILL_* variables hold is meant for the user's own services.
  return createWaybill(config, {})
}
