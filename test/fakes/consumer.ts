import { onTestFinished } from 'vitest'
import { BrokerConsumer } from '../../src/consumer/broker-consumer.ts'
import type { BrokerConsumerOptions } from '../../src/consumer/consumer-options.ts'
import type { ConsumerEvent } from '../../src/consumer/events.ts'
import type { HandlerEntry } from '../../src/consumer/handler.ts'
import type { ConsumerForm } from '../../src/guarantees/plan.ts'
import { silentLogger } from '../../src/kernel/logger.ts'
import { defineChannel } from '../../src/outbox/channel.ts'
import type { Delivery } from '../../src/ports/transport.ts'
import { FakeClock } from './clock.ts'
import { envelope } from './messages.ts'
import { FakeStore, type FakeTransaction } from './store.ts'
import { FakeBroker } from './subscription.ts'

export function delivery(
  name: string,
  position: number,
  key: string | null = null,
  assignment = 1,
  stream = 'orders/0',
): Delivery {
  return { envelope: envelope(name, key), raw: null, stream, position: BigInt(position), assignment }
}

/** One that could not be decoded. */
export function brokenDelivery(position: number, error = 'no ce_id'): Delivery {
  return { ...delivery('broken', position), envelope: null, raw: { payload: new Uint8Array([1, 2]), error } }
}

type Handle = (name: string, signal: AbortSignal) => Promise<void> | void

interface SetUpOptions extends Partial<BrokerConsumerOptions> {
  readonly store?: FakeStore
  readonly form?: ConsumerForm
  readonly handle?: Handle
  readonly entry?: Partial<HandlerEntry>
  /** Not stopped when the test is over: it may be dead. */
  readonly isMortal?: boolean
}

export interface ConsumerSetUp {
  readonly store: FakeStore
  readonly broker: FakeBroker
  readonly clock: FakeClock
  readonly events: ConsumerEvent[]
  readonly consumer: BrokerConsumer
  /** Events of this type so far. */
  count(type: ConsumerEvent['type']): number
}

/** A consumer of channel `orders`, whose handler writes the name of each message; over a store and a broker in memory. */
export function setUpConsumer(options: SetUpOptions = {}): ConsumerSetUp {
  const {
    form = 'inbox',
    handle = () => {},
    entry: entryOptions,
    store = new FakeStore(),
    isMortal,
    ...more
  } = options
  const broker = new FakeBroker()
  const clock = new FakeClock()
  const events: ConsumerEvent[] = []
  const entry: HandlerEntry = {
    channel: defineChannel<string>({ name: 'orders', key: (name) => name }),
    form,
    async handle(message, { tx, signal }) {
      ;(tx as FakeTransaction).write(message.payload as string)
      await handle(message.payload as string, signal)
    },
    ...entryOptions,
  }
  const consumer = new BrokerConsumer({
    consumer: 'shipping',
    handlers: new Map([['orders', entry]]),
    subscribe: broker.subscribe,
    inbox: store.inbox,
    checkpoints: store.checkpoints,
    transactions: store.transactions,
    batchSize: 10,
    window: 100,
    cautious: 0,
    maxAttempts: 3,
    retry: { initialMs: 100, maxMs: 1000 },
    trouble: { initialMs: 50, maxMs: 400 },
    handlerTimeoutMs: 5000,
    idleTimeoutMs: 10_000,
    settleTimeoutMs: 5000,
    stopTimeoutMs: 5000,
    clock,
    random: () => 1,
    logger: silentLogger,
    onEvent: (event) => events.push(event),
    ...more,
  })
  if (isMortal !== true) onTestFinished(() => consumer.stop())
  const count = (type: ConsumerEvent['type']): number => events.filter((event) => event.type === type).length
  return { store, broker, clock, events, consumer, count }
}
