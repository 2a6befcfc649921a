import { once } from 'node:events'
import { describe, expect, it } from 'vitest'
import type { TransportCapabilities } from '../../kernel/capabilities.ts'
import type {
  Dispatcher,
  Fate,
  OutboundMessage,
  Publisher,
  SettledPosition,
  Subscription,
  Transport,
  TransportDefinition,
} from '../../ports/transport.ts'
import { localTransport } from '../../transports/local/transport.ts'
import { MemoryBroker } from '../memory/broker.ts'
import { Records } from '../memory/records.ts'
import { Wire, type WireMessage } from '../memory/wire.ts'
import { transportConformance } from './transport.ts'

const capabilities: TransportCapabilities = {
  ...localTransport({ maxBytes: 1000 }).capabilities,
  isLocal: false,
  transforms: true,
  seeks: true,
}

class QuickWire extends Wire {
  onAdded: (message: WireMessage) => void = () => {}

  override add(messages: readonly WireMessage[]): void {
    super.add(messages)
    for (const message of this.take(true)) this.onAdded(message)
  }
}

const tooLarge: Fate = {
  outcome: 'rejected',
  scope: 'message',
  retryable: false,
  code: 'WB_MESSAGE_TOO_LARGE',
  reason: 'It is too large.',
}
const rejected: Fate = { ...tooLarge, retryable: true, code: 'WB_ABORTED' }

/** The broker of the in-memory instance, which hands over at once, with the limits that a real one has. */
function reference(): TransportDefinition {
  const wire = new QuickWire()
  const definition = { kind: 'memory', capabilities, open: () => ({}) as Transport }
  const broker = new MemoryBroker('memory', definition, wire, new Records(() => null))
  wire.onAdded = (message) => void broker.handOver(message)
  const fits = ({ envelope }: OutboundMessage): boolean => envelope.payload.length <= capabilities.maxBytes
  const open: TransportDefinition['open'] = (context) => {
    const transport = broker.definition.open(context)
    return {
      ...transport,
      async openPublisher() {
        const publisher = await transport.openPublisher!()
        let isClosed = false
        return {
          async publish(batch, timeoutMs) {
            if (isClosed) return batch.map(() => rejected)
            await publisher.publish(batch.filter(fits), timeoutMs)
            return batch.map((message) => (fits(message) ? { outcome: 'confirmed' } : tooLarge))
          },
          close: async () => void (isClosed = true),
        }
      },
      async openDispatcher() {
        const dispatcher = await transport.openDispatcher!()
        let isClosed = false
        const dropped = { outcome: 'dropped', code: 'WB_ABORTED', reason: 'no' } as const
        return {
          ...dispatcher,
          async dispatch(batch, timeoutMs) {
            if (isClosed) return batch.map(() => dropped)
            await dispatcher.dispatch(batch.filter(fits), timeoutMs)
            return batch.map((message) => (fits(message) ? { outcome: 'dispatched' } : dropped))
          },
          close: async () => void (isClosed = true),
        }
      },
      async subscribe(request) {
        const subscription = await transport.subscribe!(request)
        return {
          ...subscription,
          async commit(positions, outputs, timeoutMs) {
            if (outputs.every(fits)) return await subscription.commit!(positions, outputs, timeoutMs)
            return {
              outcome: 'rejected',
              fates: outputs.map((output) => (fits(output) ? rejected : tooLarge)),
            }
          },
        }
      },
    }
  }
  return { ...definition, open }
}

let addresses = 0
const newAddress = (): string => `address-${++addresses}`

/** Which cases a transport fails, among those whose names begin so. */
async function failures(transport: TransportDefinition, timeoutMs: number, begin = ''): Promise<string[]> {
  const failing: string[] = []
  for (const { name, run } of transportConformance({ transport, newAddress, timeoutMs }))
    if (name.startsWith(begin)) await run().catch(() => failing.push(name))
  return failing
}

/** A transport with something of it changed. */
function changed(change: (transport: Transport) => Partial<Transport>): TransportDefinition {
  const good = reference()
  return {
    ...good,
    open(context) {
      const transport = good.open(context)
      return { ...transport, ...change(transport) }
    },
  }
}

const withPublisher = (change: (publisher: Publisher) => Partial<Publisher>): TransportDefinition =>
  changed((transport) => ({
    async openPublisher() {
      const publisher = await transport.openPublisher!()
      return { ...publisher, ...change(publisher) }
    },
  }))
const withDispatcher = (change: (dispatcher: Dispatcher) => Partial<Dispatcher>): TransportDefinition =>
  changed((transport) => ({
    async openDispatcher() {
      const dispatcher = await transport.openDispatcher!()
      return { ...dispatcher, ...change(dispatcher) }
    },
  }))
const withSubscription = (
  change: (subscription: Subscription) => Partial<Subscription>,
): TransportDefinition =>
  changed((transport) => ({
    async subscribe(request) {
      const subscription = await transport.subscribe!(request)
      return { ...subscription, ...change(subscription) }
    },
  }))
const isFull = (batch: readonly OutboundMessage[]): boolean => batch.length > 1

describe('the conformance of a transport', () => {
  it('passes one that keeps its contract, and the local one', async () => {
    expect(await failures(reference(), 10_000)).toEqual([])
    expect(await failures(localTransport(), 10_000)).toEqual([])
  })

  it.each<[string, TransportDefinition, string]>([
    [
      'loses what it confirms',
      withPublisher(({ publish }) => ({
        async publish(batch, timeoutMs) {
          const fates = await publish(isFull(batch) ? batch.slice(1) : batch, timeoutMs)
          return isFull(batch) ? [{ outcome: 'confirmed' }, ...fates] : fates
        },
      })),
      'a publisher confirms each',
    ],
    [
      'drops headers',
      withPublisher(({ publish }) => ({
        publish: (batch, timeoutMs) =>
          publish(
            batch.map(({ address, envelope }) => ({ address, envelope: { ...envelope, headers: {} } })),
            timeoutMs,
          ),
      })),
      'a publisher confirms each',
    ],
    [
      'turns batches round',
      withPublisher(({ publish }) => ({
        publish: async (batch, timeoutMs) => (await publish(batch.toReversed(), timeoutMs)).toReversed(),
      })),
      'a publisher keeps the order',
    ],
    [
      'rejects a batch for one of its messages',
      withPublisher(({ publish }) => ({
        async publish(batch, timeoutMs) {
          const isTooLarge = batch.some(({ envelope }) => envelope.payload.length > capabilities.maxBytes)
          return isTooLarge ? batch.map(() => tooLarge) : await publish(batch, timeoutMs)
        },
      })),
      'a publisher rejects a message that is too large',
    ],
    [
      'throws after it was closed',
      withPublisher(({ publish }) => ({
        async publish(batch, timeoutMs) {
          const fates = await publish(batch, timeoutMs)
          if (fates[0] === rejected) throw new Error('closed')
          return fates
        },
      })),
      'a publisher answers an empty batch',
    ],
    [
      'dispatches nothing',
      withDispatcher(() => ({ dispatch: async (batch) => batch.map(() => ({ outcome: 'dispatched' })) })),
      'a dispatcher hands over',
    ],
    [
      'dispatches in any order',
      withDispatcher(({ dispatch }) => ({
        dispatch: (batch, timeoutMs) => dispatch(batch.toReversed(), timeoutMs),
      })),
      'a dispatcher keeps the order',
    ],
    [
      'sends what is too large',
      withDispatcher(({ dispatch }) => ({
        dispatch: async (batch, timeoutMs) =>
          (await dispatch(batch, timeoutMs)).map(() => ({ outcome: 'dispatched' })),
      })),
      'a dispatcher drops a message that is too large',
    ],
    ['is never ready', withDispatcher(() => ({ isReady: async () => false })), 'a dispatcher knows whether'],
    [
      'gives every consumer the same subscription',
      changed((transport) => ({
        subscribe: (request) => transport.subscribe!({ ...request, consumer: 'all' }),
      })),
      'every consumer gets everything',
    ],
    [
      'gives more than was asked for',
      withSubscription(({ receive }) => ({ receive: (most, signal) => receive(most + 1, signal) })),
      'positions grow',
    ],
    [
      'gives the same position to all',
      withSubscription(({ receive }) => ({
        receive: async (most, signal) =>
          (await receive(most, signal)).map((delivery) => ({ ...delivery, position: 1n })),
      })),
      'positions grow',
    ],
    [
      'does not end a receive',
      withSubscription(({ receive }) => ({ receive: (most) => receive(most, new AbortController().signal) })),
      'a receive ends',
    ],
    [
      'settles by itself',
      withSubscription(({ receive, settle }) => ({
        async receive(most, signal) {
          const deliveries = await receive(most, signal)
          await settle(deliveries)
          return deliveries
        },
      })),
      'what was not settled',
    ],
    [
      'does not settle',
      withSubscription(() => ({ settle: async (positions) => positions.map(() => true) })),
      'a consumer that settles everything',
    ],
    [
      'settles for an assignment that is over',
      withSubscription(({ settle }) => ({
        settle: (positions: readonly SettledPosition[]) =>
          settle(
            positions.map((position) => ({ ...position, assignment: Math.max(1, position.assignment) })),
          ),
      })),
      'a settlement is answered for each position',
    ],
    [
      'does not ask where to start',
      changed((transport) => ({
        subscribe: ({ consumer, channels, onRevoked }) =>
          transport.subscribe!({ consumer, channels, onRevoked }),
      })),
      'a subscription starts where',
    ],
    [
      'commits no positions',
      withSubscription(({ commit }) => ({ commit: (_positions, ...rest) => commit!([], ...rest) })),
      'positions and outputs',
    ],
    [
      'commits a part of the outputs',
      withSubscription(({ commit }) => ({
        async commit(positions, outputs, timeoutMs) {
          const result = await commit!(positions, outputs, timeoutMs)
          if (result.outcome === 'rejected') await commit!([], outputs.slice(0, 1), timeoutMs)
          return result
        },
      })),
      'a commit with an output that is too large',
    ],
    [
      'sends outputs of an assignment that is over',
      withSubscription(({ commit }) => ({
        async commit(positions, outputs, timeoutMs) {
          const result = await commit!(positions, outputs, timeoutMs)
          if (result.outcome === 'refused') await commit!([], outputs, timeoutMs)
          return result
        },
      })),
      'a commit of an assignment that is over',
    ],
    [
      'has a part that it does not declare',
      changed(() => ({ openFencedPublisher: async () => ({}) as never })),
      'it is what it says it is',
    ],
  ])('finds one that %s', async (_what, transport, expected) => {
    expect(await failures(transport, 300, expected)).toHaveLength(1)
  })
})

it('what a transport does not end by itself ends with the case that found it', async () => {
  let waiting = 0
  const endless = withSubscription(() => ({
    async receive(_most, signal) {
      waiting += 1
      if (!signal.aborted) await once(signal, 'abort')
      waiting -= 1
      return []
    },
  }))
  expect(await failures(endless, 50, 'a receive ends')).toHaveLength(1)
  expect(waiting).toBe(0)
})
