import { createWaybill, defineChannel, defineConfig, type Waybill } from '../../src/index.ts'
import { kafkaTransport } from '../../src/kafka.ts'
import { localTransport } from '../../src/local.ts'
import { postgresStore } from '../../src/postgres.ts'
import type { SceneSettings } from './children/parts.ts'

/** Waybill as the scene's children have it, for what the test itself does. */
export function open(settings: Pick<SceneSettings, 'brokers' | 'topic'>, url: string): Waybill {
  const placed = defineChannel<{ customer: string }>({
    name: 'orders.placed',
    guarantee: 'exactly-once',
    address: settings.topic,
    key: (order) => order.customer,
  })
  const { brokers } = settings
  const transports =
    brokers === null ? { local: localTransport() } : { kafka: kafkaTransport({ brokers: [...brokers] }) }
  return createWaybill(
    defineConfig({
      store: postgresStore({ connectionString: url }),
      transports,
      channels: [placed],
      relay: false,
      logLevel: 'error',
    }),
    {},
  )
}
