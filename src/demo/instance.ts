import { createWaybill, defineConfig, type Channel, type Waybill } from '../index.ts'
import { kafkaTransport } from '../kafka.ts'
import { localTransport } from '../local.ts'
import { postgresStore } from '../postgres.ts'
import type { Client } from './database.ts'
import { orderPlacedChannel, type OrderPlaced } from './messages.ts'
import type { DemoSettings } from './settings.ts'

export interface Instance {
  readonly waybill: Waybill<Client>
  readonly orderPlaced: Channel<OrderPlaced>
}

/** Waybill as one process of the demo has it. */
export function openInstance(
  settings: DemoSettings,
  name: string,
  options: { readonly relay?: boolean } = {},
): Instance {
  const { databaseUrl, schemas, brokers, sessionTimeoutMs, topic, without } = settings
  const orderPlaced = orderPlacedChannel(topic, without !== 'inbox')
  const config = defineConfig<Client>({
    store: postgresStore({ connectionString: databaseUrl, schema: schemas.waybill }),
    transports:
      brokers === null
        ? { local: localTransport() }
        : { kafka: kafkaTransport({ brokers, sessionTimeoutMs }) },
    channels: [orderPlaced],
    relay: options.relay ?? false,
    applicationName: `waybill demo: ${name}`,
    logLevel: 'warn',
    // A process is killed every second: who takes over should not wait for a lease of the usual 15 s.
    leaseMs: 2000,
    // The naive consumer settles each message by itself, as most code does that was written without an inbox.
    ...(without === 'inbox' ? { consumerBatchSize: 1 } : {}),
  })
  // Whatever WAYBILL_* variables hold is meant for the user's own services.
  return { waybill: createWaybill(config, {}), orderPlaced }
}
