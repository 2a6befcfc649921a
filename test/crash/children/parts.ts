import { type Channel, createWaybill, defineConfig, type Waybill } from '../../../src/index.ts'
import { kafkaTransport } from '../../../src/kafka.ts'
import { localTransport } from '../../../src/local.ts'
import type { TransportDefinition } from '../../../src/ports/transport.ts'
import { type PgClient, postgresStore } from '../../../src/postgres.ts'
import { channelOf, type Placed, type SceneChoice } from './channel.ts'
import { refuseOnce } from './refuse-once.ts'
import { type Sabotage, sabotagedStore, sabotagedTransport } from './sabotage.ts'

/** What a scene tells its children, as JSON in `SCENE`. */
export interface SceneSettings {
  readonly choice: SceneChoice
  readonly producerUrl: string
  /** The producer's database as the relay reaches it: itself, or through a proxy. */
  readonly relayUrl: string
  readonly consumerUrl: string
  /** `null`: over the local transport. */
  readonly brokers: readonly string[] | null
  readonly topic: string
  /** The writer's history. */
  readonly history: string
  /** The consumers'. */
  readonly handled: string
  /** How many the writer places in all. */
  orders: number
  readonly sabotage: Sabotage | undefined
  /** Some orders' handler, or over a broker their sending, fails the first time. */
  readonly failOnce: boolean
  /** The writer goes on with the next order where the database cannot be reached. */
  readonly isPatient: boolean
}

export const settings = JSON.parse(process.env['SCENE']!) as SceneSettings

export const consumer: string = `shipping-${settings.topic}`

// Of any guarantee, so that one writer serves all scenes.
export const placed: Channel<Placed> = channelOf(settings)

function kafka(brokers: readonly string[]): TransportDefinition {
  const definition = kafkaTransport({ brokers: [...brokers], sessionTimeoutMs: 2000 })
  const sabotaged = sabotagedTransport(definition, settings.sabotage)
  return settings.failOnce ? refuseOnce(sabotaged) : sabotaged
}

export function open(url: string, relay: boolean): Waybill<PgClient> {
  const config = defineConfig({
    store: sabotagedStore(postgresStore({ connectionString: url }), url, settings.sabotage),
    transports: settings.brokers === null ? { local: localTransport() } : { kafka: kafka(settings.brokers) },
    channels: [placed],
    relay,
    leaseMs: 1000,
    retryInitialMs: 50,
    pollMaxMs: 50,
    publishTimeoutMs: 600,
    handlerTimeoutMs: 600,
    statementTimeoutMs: 2000,
    logLevel: 'warn',
  })
  return createWaybill(config, {})
}
