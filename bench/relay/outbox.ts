import {
  type Channel,
  createWaybill,
  defineChannel,
  type SettingsOptions,
  type Waybill,
} from '../../src/index.ts'
import { type PgClient, postgresStore } from '../../src/postgres.ts'
import type { TransportDefinition } from '../../src/ports/transport.ts'
import { noOpTransport } from '../no-op-transport.ts'
import type { Environment } from './environment.ts'
import { watchedStore, type WatchedStore } from './watched-store.ts'

export interface Payload {
  readonly text: string
}

/** 500 bytes as JSON. */
export const payload: Payload = { text: 'x'.repeat(489) }

export const channelName = 'orders.placed'

export const orders: Channel<Payload> = defineChannel<Payload>({ name: channelName, ordered: true })

export interface OutboxOptions {
  /** @default true */
  readonly ordered?: boolean
  /** @default the channel's name */
  readonly address?: string
  /** @default the one that does nothing */
  readonly transport?: TransportDefinition
  /** Whether `start()` runs a relay. @default true */
  readonly relay?: boolean
  readonly settings?: SettingsOptions
}

export interface BenchOutbox extends AsyncDisposable, Pick<WatchedStore<PgClient>, 'drained'> {
  readonly waybill: Waybill<PgClient>
}

/** An instance over an empty outbox with one channel, in default settings where nothing else is said; not started yet. */
export async function openOutbox(
  { pool }: Pick<Environment, 'pool'>,
  {
    ordered = true,
    address = channelName,
    transport = noOpTransport(),
    relay = true,
    settings = {},
  }: OutboxOptions = {},
): Promise<BenchOutbox> {
  const store = watchedStore(postgresStore({ pool }))
  const waybill = createWaybill<PgClient>(
    {
      store: store.definition,
      transports: { bench: transport },
      channels: [defineChannel<Payload>({ name: channelName, ordered, address })],
      relay,
      logLevel: 'error',
      ...settings,
    },
    {},
  )
  await waybill.migrate()
  await pool.query('truncate waybill.outbox')
  return {
    waybill,
    drained: (...wanted) => store.drained(...wanted),
    [Symbol.asyncDispose]: () => waybill.stop(),
  }
}
