import { createWaybill, defineConfig, type Waybill } from '../../src/index.ts'
import { kafkaTransport } from '../../src/kafka.ts'
import { localTransport } from '../../src/local.ts'
import { postgresStore } from '../../src/postgres.ts'
import { channelOf } from './children/channel.ts'
import type { SceneSettings } from './children/parts.ts'

/** Waybill as the scene's children have it, for what the test itself does. */
export function open(settings: SceneSettings, url: string): Waybill {
  const { brokers } = settings
  const transports =
    brokers === null ? { local: localTransport() } : { kafka: kafkaTransport({ brokers: [...brokers] }) }
  return createWaybill(
    defineConfig({
      store: postgresStore({ connectionString: url }),
      transports,
      channels: [channelOf(settings)],
      relay: false,
      logLevel: 'error',
    }),
    {},
  )
}
