import { Consumer } from '@platformatic/kafka'
import { expect, onTestFinished } from 'vitest'
import type { Delivery, Dispatch, Dispatcher, OutboundMessage } from '../../../src/ports/transport.ts'
import { until } from '../../../src/testing/until.ts'
import type { KafkaTransportOptions } from '../../../src/transports/kafka/options.ts'
import { createTopic, publish } from './broker-desk.ts'
import { idsOf, messageTo, openTransport, receiveUntil, subscribe } from './scene.ts'

export async function openDispatcher(
  brokers: readonly string[],
  options: Partial<KafkaTransportOptions> = {},
): Promise<Dispatcher> {
  return openTransport(brokers, options).openDispatcher!()
}

/** A dispatcher that is connected, and knows where this topic is. */
export async function warmDispatcher(
  brokers: readonly string[],
  topic: string,
  options?: Partial<KafkaTransportOptions>,
): Promise<Dispatcher> {
  const dispatcher = await openDispatcher(brokers, options)
  expect(words(await dispatcher.dispatch([messageTo(topic, 'warm')], 10_000))).toEqual(['dispatched'])
  await arrives(dispatcher, brokers)
  return dispatcher
}

/**
 * Resolves when a message has gone all the way, after as many as it takes, on a topic of its own: a broker takes what comes
 * over one connection in its order, so what this dispatcher sent before has arrived or is lost.
 */
export async function arrives(dispatcher: Dispatcher, brokers: readonly string[]): Promise<void> {
  const topic = await createTopic(brokers, 1)
  const client = new Consumer({ clientId: 'test', bootstrapBrokers: [...brokers], groupId: 'none' })
  onTestFinished(() => client.close())
  await until('a message that went all the way', async () => {
    await dispatcher.dispatch([messageTo(topic, 'warm')], 1000)
    return (await client.listOffsets({ topics: [topic] })).get(topic)![0]! > 0n
  })
}

export function words(results: readonly Dispatch[]): string[] {
  return results.map((result) => (result.outcome === 'dropped' ? `dropped: ${result.code}` : result.outcome))
}

/** All that is in the one partition of this topic now. */
export async function readAll(brokers: readonly string[], topic: string): Promise<Delivery[]> {
  const last = messageTo(topic, 'last')
  await publish(brokers, [last])
  const subscription = await subscribe(openTransport(brokers), [topic])
  const all = await receiveUntil(subscription, (seen) => idsOf(seen).includes(last.envelope.id))
  return all.filter(({ envelope }) => envelope?.key !== 'last')
}

/** How often each of these messages is among the deliveries. */
export function countsOf(
  messages: readonly OutboundMessage[],
  deliveries: readonly Delivery[],
): Map<string, number> {
  const counts = new Map(messages.map(({ envelope }) => [envelope.id, 0]))
  for (const id of idsOf(deliveries)) if (counts.has(id)) counts.set(id, counts.get(id)! + 1)
  return counts
}
